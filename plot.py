"""Draw the curves of runs in one picture: `python plot.py [RUN ...] --out curves.png`.

`--table` lists the runs instead: what differs between them, their losses and times.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from transformer.config.flags import FlagParser, add_flags, check_flags, given_flags, path_argument
from transformer.config.types import FilePath
from transformer.export.places import FilePlace
from transformer.inspection.curves import (
    TrainedOn,
    bigram_floor,
    of_characters,
    per_byte,
    read_trained_on,
)
from transformer.storage.curves import ERROR_RATE, read_curves
from transformer.storage.events import Curves
from transformer.storage.run_folder import find_run
from transformer.system.errors import UserError, in_flags
from transformer.system.terminal import run_script, say, say_loading, with_flags_in_errors

FORMATS = ("png", "svg", "pdf")
DOTS_PER_INCH = 150
CHARACTERS, BYTES = "nats per character", "bits per byte"


class PlotOptions(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    out: FilePath = Field(
        "curves.png", min_length=1, description="file of the picture: a .png, .svg or .pdf"
    )
    runs_dir: FilePath = Field(
        "runs", description="folder to find the newest run in, or with --table all runs"
    )


def make_parser() -> FlagParser:
    parser = FlagParser(
        prog="plot.py",
        description="Draw losses by step and by seconds; for pairs, also the word error rates.",
        epilog="With --table, list the runs with the keys in which they differ.",
    )
    parser.add_argument(
        "runs",
        nargs="*",
        metavar="RUN",
        type=path_argument,
        help="a run's folder, or a folder of runs: its newest run (default: the newest of all); "
        "with --table, all of its runs",
    )
    parser.add_argument(
        "--table", action="store_true", help="no picture: a row for each run, at any depth"
    )
    parser.add_argument("--json", action="store_true", help="with --table: as JSON")
    add_flags(parser, PlotOptions)
    return parser


@with_flags_in_errors()
def main(argv: list[str] | None = None) -> int:
    arguments = make_parser().parse(argv)
    flags = given_flags(arguments, PlotOptions)
    options = check_flags(PlotOptions, flags)
    if arguments.table:
        return print_table(arguments, options, flags)
    if arguments.json:
        raise UserError("--json goes with --table: give both")
    picture_format = check_format(options.out)
    place = FilePlace(options.out, force=True)
    place.check()
    folders = [find_run(run, options.runs_dir) for run in arguments.runs or [None]]
    named = name_runs(folders)
    say_loading(", ".join(named))
    runs = {name: read_curves(folder) for name, folder in named.items()}
    texts = [named[name] for name in runs if ERROR_RATE not in runs[name]]
    unit = CHARACTERS
    if len(texts) == len(runs) and not all(map(of_characters, runs.values())):
        runs, unit = in_bytes(runs), BYTES
    floors = find_floors(texts, unit)
    from transformer.inspection.curve_figures import curves_figure

    figure = curves_figure(runs, floors, unit)
    with place.writing() as temporary:
        figure.savefig(temporary, format=picture_format, dpi=DOTS_PER_INCH)
    print(f"{options.out}: {', '.join(runs)}")
    return 0


def print_table(
    arguments: argparse.Namespace, options: PlotOptions, flags: Mapping[str, Any]
) -> int:
    """Raises: UserError as `read_rows`, and for a flag of pictures."""
    if "out" in flags:
        raise UserError(f"--out {options.out}: --table draws no picture: leave out one of them")
    from transformer.sweep.run_table import read_rows, run_facts, run_table  # slow: all tasks

    rows = read_rows(arguments.runs or [options.runs_dir])
    print(json.dumps(run_facts(rows), indent=2) if arguments.json else run_table(rows))
    return 0


def in_bytes(runs: Mapping[str, Curves]) -> dict[str, Curves]:
    """In bits per byte, so that runs with different tokens can be compared.

    Raises: UserError for a run that has not logged this unit.
    """
    found = {name: per_byte(curves) for name, curves in runs.items()}
    for name, curves in found.items():
        if curves is None:
            raise UserError(
                f"{name}: has no val_bits_per_byte, by which runs with other tokenizers are "
                "compared: plot it alone, or wait for its first validation"
            )
    return {name: curves for name, curves in found.items() if curves}


def check_format(out: str) -> str:
    """Returns the ending without its dot. Raises: UserError if it is not in FORMATS."""
    ending = Path(out).suffix.removeprefix(".").lower()
    if ending not in FORMATS:
        raise UserError(f"--out {out}: must end with .png, .svg or .pdf")
    return ending


def name_runs(folders: Sequence[Path]) -> dict[str, Path]:
    """Each folder once, under its name in the picture, such as `default/version_0`.

    Two folders that would have the same name get their whole paths as names.
    """
    distinct = {folder.resolve(): folder for folder in folders}
    short = {path: "/".join(path.parts[-2:]) for path in distinct}
    names = list(short.values())
    return {
        short[path] if names.count(short[path]) == 1 else str(path): folder
        for path, folder in distinct.items()
    }


def find_floors(folders: Sequence[Path], unit: str = CHARACTERS) -> dict[str, float]:
    """A bigram model's loss on each text of the runs, by name; prints why a run has none.

    Of runs with different tokenizers, each has its own.
    """
    losses: dict[TrainedOn, float] = {}
    for folder in folders:
        try:
            trained_on = read_trained_on(folder)
            if trained_on not in losses:
                score = bigram_floor(trained_on)
                losses[trained_on] = score.bits_per_byte or 0.0 if unit == BYTES else score.loss
        except UserError as error:
            say(f"no bigram floor for {folder}: {in_flags(str(error))}")
    if len(losses) == 1:
        (loss,) = losses.values()
        return {"bigram floor": loss}
    return {
        f"bigram floor, {text.val_fraction:.0%} of {text.data_path}{text.suffix}": loss
        for text, loss in losses.items()
    }


if __name__ == "__main__":
    run_script(main)
