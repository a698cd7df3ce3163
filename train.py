"""Train a transformer on a file: `python train.py --config configs/default.yaml`.

Every key of a config is a flag too. The run itself is `transformer/run/fit.py: train`.
"""

import json
import logging
import signal
import sys
from pathlib import Path
from typing import NamedTuple

from transformer.command_line import (
    FlagParser,
    add_flags,
    given_flags,
    path_argument,
    run_script,
    say_loading,
    tell,
    with_flags_in_errors,
)
from transformer.config import Config
from transformer.config_files import load_config, to_yaml
from transformer.errors import UserError
from transformer.output import lasting_output
from transformer.paths import expanded
from transformer.processes import check_launch, is_rank_0, restarts_would_wait
from transformer.run.fit import train
from transformer.runs import CONFIG, find_restart, find_resume, run_of
from transformer.signals import SIGNALS, ended_at_once
from transformer.tasks.registry import read_corpus
from transformer.training.terminal import PrintAboveBar

DEFAULT_CONFIG = Path(__file__).parent / "configs" / "default.yaml"

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
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=path_argument,
        help="YAML file (default configs/default.yaml)",
    )
    parser.add_argument(
        "--resume",
        metavar="CHECKPOINT",
        nargs="?",
        const="",
        type=path_argument,
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
        help="show memory by part and arithmetic, time a few steps here, write nothing, and exit",
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
    resume = find_resume(arguments.resume, expanded(flags.get("runs_dir", "runs")))
    config = load_config(run_of(resume[0]) / CONFIG, flags, same_text=True)
    return Arguments(config, resume, *switches)


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

        for part in estimate(config, read_corpus(config, build=not arguments.resume)):
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
        from transformer.run.resuming import newest_whole

        resume = newest_whole(checkpoints)
    train(config, resume, profile=arguments.profile)
    return 0


if __name__ == "__main__":
    run_script(main)
