"""Writes the page of a model."""

from pathlib import Path
from typing import Any

from transformer.pages.live.facts import run_folder
from transformer.pages.live.packing import INT8
from transformer.pages.live.page import check_size, live_page
from transformer.pages.live.vocabulary import tokenizer_data
from transformer.storage.moments import spaced_by_loss
from transformer.storage.saved_model import SavedModel
from transformer.storage.snapshots import Snapshot, list_snapshots
from transformer.system.errors import UserError


def check(saved: SavedModel, options: Any) -> None:
    """Raises: UserError for a tokenizer that no page knows, snapshots that are not there, and,
    without `force`, a page that is too large to send.
    """
    tokenizer_data(saved.tokenizer)
    chosen_snapshots(saved, options.snapshots)
    if options.force:
        return
    ways = ["`force=True` to write it all the same"]
    if options.snapshots:
        ways = ["fewer `snapshots`", *ways]
    if options.number_format != INT8:
        ways = [f"`format={INT8}`", *ways]
    check_size(saved, options.number_format, options.snapshots, ways=f"give {' or '.join(ways)}")


def write(saved: SavedModel, path: Path, options: Any) -> str:
    """Raises: UserError as `check` and `live_page`."""
    snapshots = chosen_snapshots(saved, options.snapshots)
    page = live_page(saved, number_format=options.number_format, snapshots=snapshots)
    path.write_text(page, encoding="utf-8", newline="\n")
    moments = f", with {len(snapshots)} snapshots of its training" if snapshots else ""
    kind = saved.architecture["model"]
    article = "an" if kind[0] in "aeiou" else "a"
    return (
        f"a page of {len(page.encode()) / 1e6:,.2f} MB that runs {article} {kind} with "
        f"{saved.model.num_parameters:,} parameters in {options.number_format}{moments}"
    )


def chosen_snapshots(saved: SavedModel, number: int) -> list[Snapshot]:
    """So many of those that the run has kept, spaced by loss, with the first and the last.

    Raises: UserError if there are fewer, and for a model whose page has no slider for them.
    """
    if not number:
        return []
    if not saved.model.settings.shows_learning:
        raise UserError(
            f"an {saved.architecture['model']}'s page does not show how it learned: leave out "
            "`snapshots`"
        )
    run = run_folder(saved)
    kept = [] if run is None else list_snapshots(run)
    if not kept:
        raise UserError(
            f"{run or saved.path}: has no snapshots: train with `snapshots={number}`, and they "
            "are kept in the run's folder; or leave out `snapshots`"
        )
    if number > len(kept):
        way_out = f"give {len(kept)} or fewer" if len(kept) > 1 else "leave out `snapshots`"
        raise UserError(
            f"{run}: has {len(kept)} of the {number} snapshots in `snapshots={number}`: {way_out}"
        )
    return [kept[place] for place in spaced_by_loss([one.loss for one in kept], number)]
