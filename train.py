"""Train a transformer on a file: `python train.py --config configs/default.yaml`.

Every key of a config is a flag too. What is here puts the parts together: data, module, trainer.
"""

import json
import logging
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from transformer.command_line import FlagParser, add_flags, given_flags, quoted, run_script
from transformer.config import Config
from transformer.config_files import load_config, to_yaml
from transformer.data.corpus import Corpus, check_length
from transformer.data.pairs import Pairs, read_pairs
from transformer.errors import UserError, is_out_of_memory
from transformer.files import remove_leftovers, write_text
from transformer.processes import is_rank_0, launch_id, num_sharing_cores, restarts_would_wait
from transformer.runs import (
    CONFIG,
    LAUNCH,
    check_writable,
    find_restart,
    find_resume,
    new_run_folder,
    run_of,
)
from transformer.training.terminal import PrintAboveBar, quiet_libraries

if TYPE_CHECKING:  # torch and Lightning are imported once the input is known to be good
    import pytorch_lightning as pl

    from transformer.assembly import Run

DEFAULT_CONFIG = Path(__file__).parent / "configs" / "default.yaml"

# What a checkpoint that was tampered with makes Lightning and torch raise.
DAMAGE = (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError, MemoryError)

log = logging.getLogger("train")


class Arguments(NamedTuple):
    """The config, the checkpoints to go on from (the newest that is whole), and four switches."""

    config: Config
    resume: list[Path]
    print_config: bool
    estimate: bool
    profile: bool
    verify_resume: bool


def make_parser() -> FlagParser:
    parser = FlagParser(
        prog="train.py",
        description="Train a transformer on a text file, or on a file of pairs.",
        epilog="A flag goes before the config file, and that before the defaults.",
    )
    parser.add_argument("--config", metavar="FILE", help="YAML file (default configs/default.yaml)")
    parser.add_argument(
        "--resume",
        metavar="CHECKPOINT",
        nargs="?",
        const="",
        help="go on with a run from its checkpoints/last.ckpt; without a name, the newest run",
    )
    parser.add_argument("--print_config", action="store_true", help="show the config and exit")
    parser.add_argument("--print_schema", action="store_true", help="show the JSON schema and exit")
    parser.add_argument(
        "--profile", action="store_true", help="write a trace of a few steps into the run's folder"
    )
    parser.add_argument(
        "--estimate",
        action="store_true",
        help="show memory by part, arithmetic and time for the given devices, and exit",
    )
    parser.add_argument(
        "--verify_resume",
        action="store_true",
        help="train a few steps, interrupt, resume and compare with a run that was not interrupted",
    )
    add_flags(parser, Config)
    return parser


def parse_arguments(argv: list[str] | None = None) -> Arguments:
    arguments = make_parser().parse(argv)
    if arguments.print_schema:
        print(json.dumps(Config.model_json_schema(), indent=2))
        sys.exit(0)
    flags = given_flags(arguments, Config)
    names = ("print_config", "estimate", "profile", "verify_resume")
    switches = [getattr(arguments, name) for name in names]
    if arguments.resume is None:
        path = Path(arguments.config or DEFAULT_CONFIG)
        config = load_config(path, flags)
        named = config.model_copy(update={"run_name": config.run_name or path.stem})
        return Arguments(named, [], *switches)
    if arguments.verify_resume:
        raise UserError("--verify_resume makes runs of its own: leave out --resume")
    if arguments.config:
        raise UserError("--config does not go with --resume, which takes the run's own config.yaml")
    resume = find_resume(arguments.resume, flags.get("runs_dir", "runs"))
    return Arguments(load_config(run_of(resume[0]) / CONFIG, flags), resume, *switches)


def train(
    config: Config,
    resume: Path | None = None,
    *,
    profile: bool = False,
    callbacks: "Sequence[pl.Callback]" = (),
    sum_up: bool = True,
) -> Path:
    """Trains, or goes on with the run that `resume` is a checkpoint of; returns the run's folder.

    `callbacks` of your own come before those of the run. Without `sum_up` the run ends with its
    last validation: no exact loss of the best weights, no summary.json.

    Raises: UserError for what a config file cannot know: a corpus that is missing or too short, a
    device that is not there, a checkpoint of another corpus, a folder that cannot be written.
    """
    started_at = time.monotonic()
    check_writable(run_of(resume) if resume else config.runs_dir)
    corpus = read_corpus(config)
    before = config_before(resume, config, corpus)

    from transformer import assembly, resuming
    from transformer.training.callbacks import Throughput

    quiet_libraries()
    hardware = assembly.choose_hardware(config)
    task = assembly.build_task(config, corpus, num_sharing_cores(hardware["devices"]))
    data = task.data
    num_devices = hardware["devices"] * hardware["num_nodes"]
    assembly.check_shares(config, data.num_val_examples, num_devices)
    total_steps = assembly.count_steps(config, data.num_examples, num_devices)
    module = assembly.build_module(config, task, total_steps)
    step = resuming.check_unfinished(resume, total_steps, before, config) if resume else 0
    folder = choose_folder(config, resume)
    throughput = Throughput(data.num_train_tokens, task.tokens_per_example, started_at)
    run = assembly.Run(config, folder, task, module, throughput, total_steps, num_devices)
    trainer = assembly.build_trainer(
        run, hardware, first_step=step, profile=profile, callbacks=callbacks
    )
    if trainer.is_global_zero:
        introduce(run)
    fit(run, trainer, resume)
    if trainer.is_global_zero and sum_up:
        conclude(run, trainer)
    return folder


def config_before(resume: Path | None, config: Config, corpus: Corpus | Pairs) -> dict[str, Any]:
    """Of the checkpoint, which is checked before anything slow is imported."""
    if resume is None:
        return {}
    from transformer.resuming import check_resume

    return check_resume(resume, config, corpus)


def fit(run: "Run", trainer: "pl.Trainer", resume: Path | None) -> None:
    """Raises: UserError for too little memory, and for a checkpoint that was tampered with."""
    from transformer.training.checkpoints import write_error
    from transformer.training.interruption import Interrupted, ended_together
    from transformer.training.reports import out_of_memory_advice

    try:
        with ended_together(trainer):
            trainer.fit(run.module, run.data, ckpt_path=resume, weights_only=True)
    except Interrupted as interruption:
        say_how_to_go_on(trainer.global_step, run.folder, saved=interruption.saved)
        sys.exit(interruption.exit_status)
    except DAMAGE as error:
        if is_out_of_memory(error):
            batches = run.config.accumulate_grad_batches
            raise UserError(out_of_memory_advice(run.config.batch_size, batches)) from None
        if resume is None or run.module.started or isinstance(error, UserError):
            raise
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"{resume}: damaged, its training state does not fit: {reason}") from None
    if (error := run.checkpoint_io.error) is not None:
        raise UserError(
            f"{run.folder}: the last checkpoint could not be saved ({write_error(error)}): make "
            "room and go on with --resume"
        )


def say_how_to_go_on(step: int, folder: Path, *, saved: bool) -> None:
    state = "everything is saved" if saved else "it could not be saved, an earlier step is"
    log.info("\nstopped after step %s; %s; to go on:", step, state)
    log.info("  python train.py --resume %s", quoted(folder))


def choose_folder(config: Config, resume: Path | None) -> Path:
    """The resumed run's folder or a new one; rank 0's, the others write nothing."""
    if resume is not None:
        if is_rank_0():
            remove_leftovers(run_of(resume))
        return run_of(resume)
    name = config.run_name or config.model
    if not is_rank_0():
        return Path(config.runs_dir, name, "as_rank_0_chose")
    return new_run_folder(config.runs_dir, name)


def read_corpus(config: Config) -> Corpus | Pairs:
    """Raises: UserError for data that is missing, not UTF-8, malformed or too short."""
    if config.model == "encoder_decoder":
        keys = ("block_size", "source_units", "target_units", "skip_bad_lines", "shared_vocabulary")
        pairs = read_pairs(config.data_path, **{key: getattr(config, key) for key in keys})
        pairs.check_splits(config.val_fraction, config.test_fraction)
        return pairs
    corpus = Corpus.from_file(config.data_path)
    check_length(len(corpus.tokens), config.val_fraction, config.block_size, config.data_path)
    return corpus


def introduce(run: "Run") -> None:
    """Writes config.yaml and says what is about to be trained, on what, and what it needs."""
    from transformer.estimation import device_memory
    from transformer.training.reports import introduction

    config = run.config
    write_text(run.folder / CONFIG, to_yaml(config.resolved()))
    if launch := launch_id():
        write_text(run.folder / LAUNCH, launch)
    text = introduction(
        run.module.model,
        num_train_tokens=run.data.num_train_tokens,
        total_steps=run.total_steps,
        tokens_per_step=run.tokens_per_step,
        batch=run.batch_words,
        memory=device_memory(config, run.task, run.num_devices).total_bytes,
    )
    print(run.task.introduction())
    print(text)
    if config.max_minutes:
        print(f"the whole run takes about {config.max_minutes:g} minutes, if not fewer")
    print(f"the run is in {run.folder}", flush=True)


def conclude(run: "Run", trainer: "pl.Trainer") -> None:
    """Writes summary.json and says what it has come to."""
    from transformer.summary import last_lines, summarize

    print(last_lines(run, *summarize(run, trainer)))


def main(argv: list[str] | None = None) -> int:
    arguments = parse_arguments(argv)
    config = arguments.config
    if arguments.print_config:
        print(to_yaml(config.resolved()), end="")
        return 0
    if arguments.estimate:
        from transformer.estimation import estimate

        print(estimate(config, read_corpus(config)))
        return 0
    level = logging.INFO if is_rank_0() else logging.ERROR
    logging.basicConfig(level=level, format="%(message)s", handlers=[PrintAboveBar()])
    logging.getLogger("torch").setLevel(logging.WARNING)
    if arguments.verify_resume:
        from transformer.verification import verify_resume

        return verify_resume(config, train)
    if not is_rank_0():  # rank 0 ends it, also while it waits for this one
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    checkpoints = arguments.resume
    if not checkpoints:  # where torchrun or SLURM repeats the command of the first start
        checkpoints = find_restart(config.runs_dir, str(config.run_name))
    if restarts_would_wait() and is_rank_0():
        log.warning(
            "restarts: set TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 where torchrun starts; without it, "
            "processes that are started again wait for those that are gone"
        )
    resume = None
    if checkpoints:
        from transformer.resuming import newest_whole

        resume = newest_whole(checkpoints)
    train(config, resume, profile=arguments.profile)
    return 0


if __name__ == "__main__":
    run_script(main)
