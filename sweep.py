"""Train many runs, and compare them: `python sweep.py --vary lr=1e-3,1e-2 --seeds 3`.

Every key of a config is also a flag, which holds for all runs. docs/sweeps.md says more.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from transformer.config.flags import (
    FlagParser,
    add_flags,
    check_flags,
    given_flags,
    path_argument,
)
from transformer.config.keys import Config
from transformer.storage.run_lock import RunLock
from transformer.sweep.folder import SweepFolder
from transformer.sweep.gpus import check_gpus
from transformer.sweep.machine import check_left, check_new
from transformer.sweep.options import SweepOptions
from transformer.sweep.places import check_folder
from transformer.sweep.plan import Plan
from transformer.sweep.planning import check_ensemble, folder_of, make_plan
from transformer.sweep.scaling.making import SUFFIX, make_scaling_plan, with_measures
from transformer.sweep.starting import check_alone, check_resumed, opened
from transformer.sweep.sweeping import Sweep
from transformer.sweep.trial import Result
from transformer.system.errors import UserError
from transformer.system.shell import quoted
from transformer.system.signals import Interrupted
from transformer.system.terminal import run_script, say, tell, with_flags_in_errors

DEFAULT_CONFIG = Path(__file__).parent / "configs" / "default.yaml"


@cache
def make_parser() -> FlagParser:
    parser = FlagParser(
        prog="sweep.py",
        description="Train a config in variations, and compare the runs.",
        epilog="Every other flag is a key of the config, with a value for all runs.",
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=path_argument,
        help="YAML file with the config (default configs/default.yaml)",
    )
    parser.add_argument(
        "--vary",
        metavar="KEY=VALUES",
        nargs="+",
        action="extend",
        help="keys with the values to combine: lr=1e-3,1e-2; or with a range: dropout=0..0.3, "
        "lr=1e-3..1e-1:log",
    )
    parser.add_argument(
        "--try",
        dest="changes",
        metavar="KEY=VALUE",
        nargs="+",
        action="extend",
        help="changes of the config, each alone: qk_norm=false; two keys: optimizer=adamw+lr=3e-3",
    )
    add_kinds_and_going_on(parser)
    add_flags(parser, SweepOptions)
    parser.add_argument("--sampler", dest="search", default=argparse.SUPPRESS, help="as --search")
    add_flags(parser, Config)
    return parser


def add_kinds_and_going_on(parser: FlagParser) -> None:
    parser.add_argument(
        "--resume",
        metavar="SWEEP",
        type=path_argument,
        help="go on with the sweep in this folder; the same command again does so, too",
    )
    parser.add_argument(
        "--scaling",
        action="store_true",
        help="train five sizes of the config, and predict the loss of a larger one",
    )
    parser.add_argument("--retry", action="store_true", help="train runs that failed again")
    parser.add_argument(
        "--ensemble", action="store_true", help="also average the seeds of each combination"
    )
    parser.add_argument("--json", action="store_true", help="print the table as JSON")


@with_flags_in_errors()
def main(argv: list[str] | None = None) -> int:
    command = ["sweep.py", *(sys.argv[1:] if argv is None else argv)]
    arguments = make_parser().parse(argv)
    options = check_flags(SweepOptions, given_flags(arguments, SweepOptions))
    check_alone()
    with RunLock() as lock:
        folder = opened_folder(arguments, options, lock)
        if arguments.retry:
            folder.forget_failures()
        results = results_of(folder, options, command)
        return show(folder, results, arguments)


def opened_folder(
    arguments: argparse.Namespace, options: SweepOptions, lock: RunLock
) -> SweepFolder:
    """The folder of a new sweep, or of one that goes on; locked."""
    flags = given_flags(arguments, Config)
    if arguments.resume is not None:
        check_folder(arguments.resume)
        check_resumed(arguments, options, flags)
        folder = opened(Path(arguments.resume), None, lock)
        check(folder.plan, arguments, options)
        check_left(folder, options, retry=arguments.retry)
        return folder
    varies = bool(arguments.vary or arguments.changes)
    if arguments.retry and not (varies or arguments.scaling or options.seeds > 1):
        raise UserError("--retry goes with --resume SWEEP, or with the sweep's own command")
    path = arguments.config or DEFAULT_CONFIG
    if arguments.scaling:
        plan = make_scaling_plan(path, flags, options, varies=varies)
        check(plan, arguments, options)
        check_new(plan, options)
        return opened(folder_of(path, options, SUFFIX), plan, lock, with_measures)
    plan = make_plan(path, flags, options, arguments.vary or (), arguments.changes or ())
    check(plan, arguments, options)
    check_new(plan, options)
    return opened(folder_of(path, options), plan, lock)


def check(plan: Plan, arguments: argparse.Namespace, options: SweepOptions) -> None:
    """Raises: UserError for a flag that does not go with the plan, before the folder is made."""
    check_gpus(options, plan)
    if arguments.ensemble:
        check_ensemble(plan)


def results_of(folder: SweepFolder, options: SweepOptions, command: Sequence[str]) -> list[Result]:
    try:
        return Sweep(folder, options.places, command, say).run()
    except Interrupted as interruption:
        say("stopped; what every run has learned is saved; to go on:")
        say(f"  python sweep.py --resume {quoted(folder.path)}")
        sys.exit(interruption.exit_status)


def show(folder: SweepFolder, results: Sequence[Result], arguments: argparse.Namespace) -> int:
    """Raises: UserError with the first reason if every run failed."""
    # With scipy and matplotlib, which `--help` and a mistake need not wait for.
    from transformer.sweep.ensemble import score_ensembles
    from transformer.sweep.outcome import PICTURE, write_outcome

    ensembles = score_ensembles(results, say) if arguments.ensemble else ()
    outcome = write_outcome(folder.plan, results, folder.path, ensembles)
    every_failed = all(result.loss is None for result in results)
    if arguments.json:
        tell(json.dumps(outcome.facts, indent=2, ensure_ascii=False))
    elif not every_failed:
        tell(outcome.table)
    if every_failed:
        raise UserError(
            f"every run failed; the first: {results[0].error}; correct it and give `retry`"
        )
    say(f"picture: {folder.path / PICTURE}; all curves: tensorboard --logdir {quoted(folder.path)}")
    return 0


if __name__ == "__main__":
    run_script(main)
