"""Train a transformer on a file: `python train.py --config configs/default.yaml`.

Every key of a config is also a flag. `train` in `transformer/run/fit.py` does the work.
"""

import json
import logging
import signal
import sys
from functools import cache
from pathlib import Path
from typing import NamedTuple

from transformer.config.files import load_config, to_yaml
from transformer.config.flags import FlagParser, add_flags, given_flags, path_argument
from transformer.config.keys import Config
from transformer.run.fit import train
from transformer.storage.run_folder import CONFIG, Resume, find_restart, find_resume, run_of
from transformer.storage.run_names import check_name
from transformer.system.errors import UserError
from transformer.system.output import lasting_output
from transformer.system.paths import expanded
from transformer.system.processes import check_launch, is_rank_0, restarts_would_wait
from transformer.system.signals import SIGNALS, ended_at_once
from transformer.system.terminal import (
    PrintAboveBar,
    run_script,
    say_loading,
    tell,
    with_flags_in_errors,
)
from transformer.tasks.registry import task_of

DEFAULT_CONFIG = Path(__file__).parent / "configs" / "default.yaml"

log = logging.getLogger("train")


class Arguments(NamedTuple):
    """The config, the checkpoints to continue from, and four switches."""

    config: Config
    resume: Resume
    print_config: bool
    estimate: bool
    profile: bool
    verify_resume: bool


@cache
def make_parser() -> FlagParser:
    parser = FlagParser(
        prog="train.py",
        description="Train a transformer on a text file, or on a file of pairs.",
        epilog="A flag wins over the config file, and the config file wins over the defaults.",
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=path_argument,
        help="YAML file with the config (default configs/default.yaml)",
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
    parser.add_argument("--print_config", action="store_true", help="show the config and exit")
    parser.add_argument("--print_schema", action="store_true", help="show the JSON schema and exit")
    parser.add_argument(
        "--profile", action="store_true", help="write a trace of a few steps into the run's folder"
    )
    parser.add_argument(
        "--estimate",
        action="store_true",
        help="compute memory and FLOPs, measure the time of a few steps, and exit; writes no run",
    )
    parser.add_argument(
        "--verify_resume",
        action="store_true",
        help="train a few steps, interrupt, resume, and compare with an uninterrupted run",
    )
    add_flags(parser, Config)
    return parser


def parse_arguments(argv: list[str] | None = None) -> Arguments:
    arguments = make_parser().parse(argv)
    if arguments.print_schema:
        print(json.dumps(Config.model_json_schema(), indent=2))
        sys.exit(0)
    flags = given_flags(arguments, Config)
    switches = [getattr(arguments, name) for name in Arguments._fields[2:]]
    if arguments.resume is None:
        config = load_config(arguments.config or DEFAULT_CONFIG, flags)
        return Arguments(named(config, arguments.config or DEFAULT_CONFIG), Resume(), *switches)
    if arguments.verify_resume:
        raise UserError("--verify_resume makes its own runs: leave out --resume")
    if arguments.config:
        raise UserError("--config does not go with --resume: a run uses its own config.yaml")
    if "run_name" in flags:
        raise UserError("--run_name does not go with --resume: a run goes on in its own folder")
    if "runs_dir" in flags and arguments.resume:
        raise UserError(
            f"--runs_dir does not go with --resume {arguments.resume}: a run goes on in its own "
            "folder; leave out one of them"
        )
    resume = find_resume(arguments.resume, expanded(flags.get("runs_dir", "runs")))
    config = load_config(run_of(resume.checkpoints[0]) / CONFIG, flags, same_text=True)
    return Arguments(config, resume, *switches)


def named(config: Config, path: str | Path) -> Config:
    """Returns the config with a run_name; by default, this is the name of its file.

    Raises: UserError for a name that no folder can have.
    """
    if config.run_name:
        check_name(config.run_name, "run_name")
        return config
    name = Path(path).stem
    check_name(name, str(path), "rename the file or give --run_name")
    return config.model_copy(update={"run_name": name})


@with_flags_in_errors()
def main(argv: list[str] | None = None) -> int:
    arguments = parse_arguments(argv)
    config = arguments.config
    if arguments.print_config:
        print(to_yaml(config.resolved()), end="")
        return 0
    check_launch()
    if arguments.estimate:
        say_loading("PyTorch")
        from transformer.run.estimation import estimate

        data = task_of(config.model).read(config, build=not arguments.resume.checkpoints)
        for part in estimate(config, data):
            print(part, flush=True)
        return 0
    with lasting_output(), ended_at_once(SIGNALS):
        return train_or_verify(arguments)


def train_or_verify(arguments: Arguments) -> int:
    config = arguments.config
    if is_rank_0():
        tell(f"reading {config.data_path} and loading PyTorch ...")
    level = logging.INFO if is_rank_0() else logging.ERROR
    logging.basicConfig(level=level, format="%(message)s", handlers=[PrintAboveBar()])
    logging.getLogger("torch").setLevel(logging.WARNING)
    if arguments.verify_resume:
        from transformer.run.verification import verify_resume

        return verify_resume(config, train)
    if not is_rank_0():  # rank 0 ends this process, even while rank 0 waits for it
        signal.signal(signal.SIGINT, signal.SIG_IGN)
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
    train(config, checkpoints, profile=arguments.profile)
    return 0


if __name__ == "__main__":
    run_script(main)
