"""Train a transformer on a file: `python train.py --config configs/default.yaml`.

Every key of a config is also a flag. `train` in `transformer/run/fit.py` does the work.
"""

import argparse
import json
import logging
import signal
import sys
import time
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from transformer.config.drafts import Draft, in_file, read_draft
from transformer.config.files import to_yaml
from transformer.config.flags import FlagParser, add_flags, given_flags, path_argument
from transformer.config.keys import Config
from transformer.config.run_files import load_run_config
from transformer.models.families.registry import DEFAULT
from transformer.run.conflicts import check_logger, check_repeat_flags, check_resume_flags
from transformer.run.fit import read_data, train
from transformer.run.naming import named
from transformer.run.origin import Origin
from transformer.storage.pretrained.fitting import fitted_class
from transformer.storage.run_folder import (
    CONFIG,
    Resume,
    find_ended,
    find_restart,
    find_resume,
    run_of,
)
from transformer.system.errors import UserError
from transformer.system.lean_imports import import_lightning
from transformer.system.output import lasting_output
from transformer.system.paths import expanded
from transformer.system.processes import (
    check_launch,
    is_rank_0,
    launched_sizes,
    restarts_would_wait,
)
from transformer.system.signals import SIGNALS, ended_at_once
from transformer.system.terminal import (
    PrintAboveBar,
    run_script,
    say,
    say_loading,
    tell,
    with_flags_in_errors,
)

if TYPE_CHECKING:
    from transformer.run.planning.race import Entry

CONFIGS = Path(__file__).parent / "configs"
DEFAULT_CONFIG = CONFIGS / "default.yaml"
# For data of one's own, by model.
AUTO_CONFIGS = {"gpt": CONFIGS / "auto.yaml", "encoder_decoder": CONFIGS / "auto-pairs.yaml"}

SWITCHES = {
    "print_config": "show the config and exit",
    "print_schema": "show the JSON schema and exit",
    "exportable": "refuse keys with which export.py could not write the model for transformers",
    "profile": "write a trace of a few steps into the run's folder",
    "estimate": "compute memory and FLOPs, time a few steps, and exit; writes no run",
    "plan": "show the sizes that 1 to 120 minutes would allow here, the losses to expect, and exit",
    "verify_resume": "train a few steps, interrupt, resume, and compare with an uninterrupted run",
}

log = logging.getLogger("train")


class Arguments(NamedTuple):
    """The config or its draft, the checkpoints to continue, the run to repeat, and switches."""

    config: Config | Draft
    resume: Resume = Resume()
    repeat: Path | None = None
    print_config: bool = False
    estimate: bool = False
    plan: bool = False
    profile: bool = False
    exportable: bool = False
    verify_resume: bool = False


class Start(NamedTuple):
    config: Config
    rivals: "Sequence[Entry]" = ()  # the candidates of a race, if there is one
    spent_seconds: float = 0.0  # by planning; they count in max_minutes


@cache
def make_parser() -> FlagParser:
    parser = FlagParser(
        prog="train.py",
        description="Train a transformer on a text file, or on a file of pairs.",
        epilog="A flag wins over the config file, and the config file wins over the defaults.",
    )
    with_own_text = "with --data_path or --plan configs/auto.yaml or auto-pairs.yaml"
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=path_argument,
        help=f"YAML file with the config (default configs/default.yaml; {with_own_text})",
    )
    parser.add_argument(
        "--resume",
        metavar="CHECKPOINT",
        nargs="?",
        const="",
        type=path_argument,
        help="continue a run: its folder or a checkpoint; without a name, the newest run in "
        "runs_dir that no process is training",
    )
    parser.add_argument(
        "--repeat",
        metavar="RUN",
        type=path_argument,
        help="train a run again, into a new folder, and compare the two bit for bit",
    )
    for name, text in SWITCHES.items():
        parser.add_argument(f"--{name}", action="store_true", help=text)
    add_flags(parser, Config)
    return parser


def parse_arguments(argv: list[str] | None = None) -> Arguments:
    arguments = make_parser().parse(argv)
    if arguments.print_schema:
        print(json.dumps(Config.model_json_schema(), indent=2))
        sys.exit(0)
    flags = given_flags(arguments, Config)
    if arguments.repeat is not None:
        check_repeat_flags(arguments, flags, SWITCHES)
        run = find_ended(arguments.repeat)
        return checked(Arguments(load_run_config(run / CONFIG, flags), repeat=run))
    switches = {name: getattr(arguments, name) for name in SWITCHES if name != "print_schema"}
    if arguments.resume is None:
        return checked(Arguments(read_config(arguments, flags), Resume(), **switches))
    check_resume_flags(arguments, flags)
    resume = find_resume(arguments.resume, expanded(flags.get("runs_dir", "runs")))
    config = load_run_config(run_of(resume.checkpoints[0]) / CONFIG, flags)
    return checked(Arguments(config, resume, **switches))


def checked(arguments: Arguments) -> Arguments:
    """Raises: UserError for a missing package, and with --exportable for keys without an export."""
    config = arguments.config
    config = config.base() if isinstance(config, Draft) else config
    check_logger(config.logger)
    if arguments.exportable:
        fitted_class(config.family_settings())
    return arguments


def read_config(arguments: argparse.Namespace, flags: dict[str, Any]) -> Config | Draft:
    """A draft if the planner has to choose a value or, with --plan, to show some."""
    if start_from := flags.get("start_from", in_file(arguments.config, "start_from")):
        return read_config_of_start(start_from, arguments, flags)
    planned_here = arguments.plan or ("data_path" in flags and may_be_planned(flags))
    model = flags.get("model", DEFAULT)
    if arguments.plan and "max_steps" in flags:
        raise UserError("--plan shows what minutes would bring: leave out --max_steps")
    if arguments.plan and not arguments.config and model not in AUTO_CONFIGS:
        raise UserError(f"--plan is for {' and '.join(AUTO_CONFIGS)}, and model is {model}")
    auto_config = AUTO_CONFIGS.get(model, DEFAULT_CONFIG)
    path = arguments.config or (auto_config if planned_here else DEFAULT_CONFIG)
    draft = read_draft(path, flags)
    if draft.auto:
        named(draft.base(), path)  # a mistake is found before torch is loaded
        return draft
    if arguments.plan:
        raise UserError(f"--plan: {path} leaves nothing open; leave out --config, or give auto")
    return named(draft.config(), path)


def read_config_of_start(start_from: str, arguments: argparse.Namespace, flags: Any) -> Config:
    if arguments.plan:
        raise UserError("--plan is for a new model: leave out --start_from")
    say_loading("PyTorch")
    from transformer.run.starting import config_of_start

    return named(config_of_start(start_from, arguments.config, flags), arguments.config or "")


def may_be_planned(flags: dict[str, Any]) -> bool:
    """Whether data of one's own gets a plan: a transformer on one device."""
    one_device = all(str(flags.get(key, 1)) == "1" for key in ("devices", "num_nodes"))
    one_device &= launched_sizes() in (None, (1, 1))
    return one_device and flags.get("model", DEFAULT) in AUTO_CONFIGS


@with_flags_in_errors()
def main(argv: list[str] | None = None) -> int:
    started_at = time.monotonic()
    command = ["train.py", *(sys.argv[1:] if argv is None else argv)]
    arguments = parse_arguments(argv)
    if arguments.plan:
        return show_outlook(arguments.config, started_at)
    start = planned(arguments)
    if arguments.print_config:
        print(to_yaml(start.config.resolved()), end="")
        return 0
    check_launch()
    if arguments.estimate:
        say_loading("PyTorch")
        from transformer.run.estimation import estimate

        checkpoints = arguments.resume.checkpoints
        data = read_data(start.config, checkpoints[0] if checkpoints else None)
        for part in estimate(start.config, data, time.monotonic() - started_at):
            print(part, flush=True)
        return 0
    with lasting_output(), ended_at_once(SIGNALS):
        return train_or_verify(start, arguments, command)


def planned(arguments: Arguments) -> Start:
    config = arguments.config
    if isinstance(config, Config):
        return Start(config)
    check_launch()
    started_at = time.monotonic()
    trains = not (arguments.print_config or arguments.estimate)
    base = named(config.base(), config.path)
    # What torchrun or SLURM starts again goes on with the run, or the candidate, that it met.
    if trains and (checkpoints := find_restart(base.runs_dir, str(base.run_name))):
        return Start(named(load_run_config(run_of(checkpoints[0]) / CONFIG), config.path))
    say_loading("PyTorch")
    import_lightning()
    from transformer.run.planning.planned import plan_of

    with lasting_output(), ended_at_once(SIGNALS):
        plan = plan_of(config, started_at, raced=trains)
    (say if arguments.print_config else tell)(plan.text)
    entries = [each._replace(config=named(each.config, config.path)) for each in plan.entries]
    rivals = entries if len(entries) > 1 else ()
    return Start(entries[0].config, rivals, plan.spent_seconds)


def show_outlook(config: Config | Draft, started_at: float) -> int:
    assert isinstance(config, Draft)  # see read_config
    say_loading("PyTorch")
    import_lightning()
    from transformer.run.planning.planned import outlook

    print(outlook(config, started_at))
    return 0


def train_or_verify(start: Start, arguments: Arguments, command: Sequence[str]) -> int:
    config = start.config
    if is_rank_0():
        tell(f"reading {config.data_name} and loading PyTorch ...")
    level = logging.INFO if is_rank_0() else logging.ERROR
    logging.basicConfig(level=level, format="%(message)s", handlers=[PrintAboveBar()])
    logging.getLogger("torch").setLevel(logging.WARNING)
    if arguments.verify_resume:
        from transformer.run.verification import verify_resume

        return verify_resume(config, train)
    if not is_rank_0():  # rank 0 ends this process, even while rank 0 waits for it
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    origin = Origin(command)
    if arguments.repeat:
        from transformer.run.repeating import repeat

        return repeat(arguments.repeat, config, train, origin)
    checkpoints, why = arguments.resume
    if why:
        log.info("--resume: %s, %s", run_of(checkpoints[0]), why)
    if not checkpoints:  # torchrun or SLURM may have restarted the same command
        checkpoints = find_restart(config.runs_dir, str(config.run_name))
    if restarts_would_wait() and is_rank_0():
        log.warning(
            "restarts: set TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 where torchrun starts; without it, "
            "restarted processes wait for processes that no longer exist"
        )
    start_training = partial(train, spent_seconds=start.spent_seconds, origin=origin)
    if start.rivals and not checkpoints:
        from transformer.run.planning.race import race

        config, checkpoint = race(start.rivals, start_training)
        train(config, checkpoint, profile=arguments.profile, origin=origin)
    else:
        start_training(config, checkpoints, profile=arguments.profile)
    return 0


if __name__ == "__main__":
    run_script(main)
