"""Train a transformer on a file: `python train.py --config configs/default.yaml`.

Every key of a config is a flag too. What is here puts the parts together: data, module, trainer.
"""

import json
import logging
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from transformer.command_line import FlagParser, add_flags, given_flags, run_script
from transformer.config import Config
from transformer.config_files import load_config, to_yaml
from transformer.data.corpus import Corpus, check_length
from transformer.data.pairs import Pairs, read_pairs
from transformer.errors import UserError
from transformer.files import write_text
from transformer.runs import CONFIG, SUMMARY, WEIGHTS, find_resume, new_run_folder, run_of
from transformer.training.terminal import PrintAboveBar, quiet_libraries

if TYPE_CHECKING:  # torch and Lightning are imported once the input is known to be good
    import pytorch_lightning as pl

    from transformer.assembly import Run
    from transformer.models.base import SequenceModel

# Tells the processes of one run, which Lightning starts one a device, where it is kept.
FOLDER_VARIABLE = "TRANSFORMER_RUN_FOLDER"
# What says which data is trained on in which order: another value would make it another run.
KEPT_ON_RESUME = (
    *("val_fraction", "test_fraction", "stride", "source_units", "target_units", "seed"),
    "skip_bad_lines",
)
# What an architecture names and no weight depends on.
CHANGED_ON_RESUME = ("dropout", "target_dropout")
DEFAULT_CONFIG = Path(__file__).parent / "configs" / "default.yaml"

log = logging.getLogger("train")


class Arguments(NamedTuple):
    """The config, the checkpoint to go on from, and two switches."""

    config: Config
    resume: Path | None
    print_config: bool
    profile: bool


def parse_arguments(argv: list[str] | None = None) -> Arguments:
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
    add_flags(parser, Config)
    arguments = parser.parse(argv)
    if arguments.print_schema:
        print(json.dumps(Config.model_json_schema(), indent=2))
        sys.exit(0)
    flags = given_flags(arguments, Config)
    switches = (arguments.print_config, arguments.profile)
    if arguments.resume is None:
        path = Path(arguments.config or DEFAULT_CONFIG)
        config = load_config(path, flags)
        named = config.model_copy(update={"run_name": config.run_name or path.stem})
        return Arguments(named, None, *switches)
    if arguments.config:
        raise UserError("--config does not go with --resume, which takes the run's own config.yaml")
    resume = find_resume(arguments.resume, flags.get("runs_dir", "runs"))
    return Arguments(load_config(run_of(resume) / CONFIG, flags), resume, *switches)


def train(config: Config, resume: Path | None = None, *, profile: bool = False) -> Path:
    """Trains, or goes on with the run that `resume` is a checkpoint of; returns the run's folder.

    Raises: UserError for what a config file cannot know: a corpus that is missing or too short, a
    device that is not there, a checkpoint of another corpus, a folder that cannot be written.
    """
    started_at = time.monotonic()
    check_writable(run_of(resume) if resume else config.runs_dir)
    corpus = read_corpus(config)
    check_resume(resume, config, corpus)

    import pytorch_lightning as pl

    from transformer import assembly
    from transformer.training.callbacks import Throughput
    from transformer.training.interruption import Interrupted

    quiet_libraries()
    hardware = assembly.choose_hardware(config)
    pl.seed_everything(config.seed, verbose=False)
    task = assembly.build_task(config, corpus)
    data = task.data
    num_devices = hardware["devices"] * config.num_nodes
    check_shares(config, data.num_val_examples, num_devices)
    total_steps = assembly.count_steps(config, data.num_examples, num_devices)
    module = assembly.build_module(config, task, total_steps)
    check_unfinished(resume, total_steps)
    folder = choose_folder(config, resume)
    throughput = Throughput(data.num_train_tokens, task.tokens_per_example, started_at)
    run = assembly.Run(config, folder, task, module, throughput, total_steps, num_devices)
    trainer = assembly.build_trainer(run, hardware, profile=profile)
    if trainer.is_global_zero:
        introduce(run)
    try:
        trainer.fit(module, data, ckpt_path=resume, weights_only=True)
    except Interrupted as interruption:
        say_how_to_go_on(trainer.global_step, folder)
        sys.exit(interruption.exit_status)
    if trainer.is_global_zero:
        conclude(run, *summarize(run, trainer))
    return folder


def say_how_to_go_on(step: int, folder: Path) -> None:
    log.info("\nstopped after step %s; everything is saved; to go on:", step)
    log.info("  python train.py --resume %s", _quoted(folder))


def choose_folder(config: Config, resume: Path | None) -> Path:
    """The resumed run's folder or a new one; processes that Lightning starts take the first's."""
    if resume is not None:
        return run_of(resume)
    if is_helper_process():
        return Path(os.environ[FOLDER_VARIABLE])
    folder = new_run_folder(config.runs_dir, config.run_name or config.model)
    os.environ[FOLDER_VARIABLE] = str(folder)
    return folder


def is_helper_process() -> bool:
    """True in the processes that Lightning starts for the second device and on."""
    return os.environ.get("LOCAL_RANK", "0") != "0" and FOLDER_VARIABLE in os.environ


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


def check_writable(runs_dir: str | Path) -> None:
    """Raises: UserError where a run's folder could not be made; makes none."""
    folder = Path(runs_dir).absolute()
    folder = next(path for path in (folder, *folder.parents) if path.exists())
    if not folder.is_dir():
        raise UserError(f"{runs_dir}: {folder} is a file, not a folder: give another --runs_dir")
    if not os.access(folder, os.W_OK):
        raise UserError(f"{runs_dir}: cannot write in {folder}: give another --runs_dir")


def check_resume(resume: Path | None, config: Config, corpus: Corpus | Pairs) -> None:
    """Raises: UserError for a checkpoint that is damaged, of another corpus or architecture."""
    if resume is None:
        return
    from transformer.checkpoint import load_model

    saved = load_model(resume)
    trained_on = saved.corpus.get("sha256")
    if trained_on != corpus.sha256:
        raise UserError(
            f"{resume}: its corpus has sha256 {trained_on}, and data_path has {corpus.sha256}: "
            "give the --data_path it was trained on, or start a new run without --resume"
        )
    keys = config.resolved()
    wanted = config.architecture(**corpus.tokenizer.sizes)
    wanted |= {key: keys[key] for key in KEPT_ON_RESUME if key in keys}
    before = saved.config | saved.architecture
    for key, value in wanted.items():
        if key not in CHANGED_ON_RESUME and before.get(key) != value:
            raise UserError(
                f"{resume}: was trained with {key}={before.get(key)}, not {value}: "
                "leave it as it was, or start a new run without --resume"
            )


def check_shares(config: Config, num_val_examples: int, num_devices: int) -> None:
    """Raises: UserError where a device would have nothing to validate; others would wait for it."""
    if num_val_examples < num_devices:
        raise UserError(
            f"{config.data_path}: {num_val_examples} chunks or pairs for validation on "
            f"{num_devices} devices: give a larger --val_fraction or fewer --devices"
        )


def check_unfinished(resume: Path | None, total_steps: int) -> None:
    """Raises: UserError for a run that has made all of its steps and was summed up."""
    if resume is None:
        return
    import torch

    content = torch.load(resume, map_location="cpu", weights_only=True)
    if any("chunks_consumed" in part for part in content.values() if isinstance(part, dict)):
        raise UserError(
            f"{resume}: an older version of this program wrote it, whose runs cannot be gone on "
            "with: start a new run without --resume (its model can be used as it is)"
        )
    step = content["global_step"]
    finished = step == total_steps and (run_of(resume) / SUMMARY).is_file()
    if step > total_steps or finished:
        raise UserError(
            f"{resume}: stands at step {step:,} of {total_steps:,}, nothing is left to do: "
            "give a larger --max_steps or --epochs"
        )


def introduce(run: "Run") -> None:
    """Writes config.yaml and says what is about to be trained, on what, and what it needs."""
    from transformer.training.reports import introduction

    config = run.config
    write_text(run.folder / CONFIG, to_yaml(config.resolved()))
    text = introduction(
        run.module.model,
        num_train_tokens=run.data.num_train_tokens,
        total_steps=run.total_steps,
        tokens_per_step=run.tokens_per_step,
        largest_batch=run.task.largest_batch * run.forward_passes,
    )
    print(run.task.introduction())
    print(text)
    if config.max_minutes:
        print(f"the whole run takes about {config.max_minutes:g} minutes, if not fewer")
    print(f"the run is in {run.folder}", flush=True)


def summarize(run: "Run", trainer: "pl.Trainer") -> tuple[dict[str, Any], "SequenceModel"]:
    """Writes summary.json: the exact loss of the best weights and the facts of the run."""
    from transformer.checkpoint import load_model, save_model
    from transformer.training.reports import run_facts

    weights = run.folder / WEIGHTS
    best = load_model(weights)
    model = best.model.to(trainer.strategy.root_device)
    summary = {
        **run.task.score(model),
        "best_step": best.results["best_step"],
        **run_facts(trainer, run.throughput),
        "corpus_sha256": run.task.corpus_facts["sha256"],
    }
    write_text(run.folder / SUMMARY, json.dumps(summary, indent=2) + "\n")
    save_model(weights, model, run.module.metadata | {"results": summary})
    return summary, model


def conclude(run: "Run", summary: dict[str, Any], model: "SequenceModel") -> None:
    """The result, what the best weights make of a few inputs, and what to do next."""
    from transformer.training.reports import conclusion

    shown = run.task.examples(model).strip()
    word = run.task.prompt(shown)
    prompt = f' --prompt "{word}"' if word else ""
    print(f"\n{conclusion(run.task.headline(summary), summary)}\n\n{shown}\n\nnext:")
    print(f"  python generate.py {_quoted(run.folder / WEIGHTS)}{prompt}")
    print(f"  tensorboard --logdir {_quoted(run.config.runs_dir)}")


def _quoted(path: str | Path) -> str:
    return f'"{path}"' if " " in str(path) else str(path)


def main(argv: list[str] | None = None) -> int:
    config, resume, print_config, profile = parse_arguments(argv)
    if print_config:
        print(to_yaml(config.resolved()), end="")
        return 0
    level = logging.WARNING if is_helper_process() else logging.INFO
    logging.basicConfig(level=level, format="%(message)s", handlers=[PrintAboveBar()])
    train(config, resume, profile=profile)
    return 0


if __name__ == "__main__":
    run_script(main)
