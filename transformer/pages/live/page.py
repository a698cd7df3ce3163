"""One HTML file that holds a model and runs it, from a template, the engine and the weights."""

import base64
import zlib
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from torch import Tensor

from transformer.pages.engine import engine_script
from transformer.pages.live.facts import curve_of, facts_of, name_of, run_folder
from transformer.pages.live.packing import INT8, Packer, num_bytes, stored
from transformer.pages.live.vocabulary import tokenizer_data
from transformer.pages.template import as_json, filled
from transformer.storage.metadata import distinct_tensors
from transformer.storage.saved_model import SavedModel
from transformer.storage.snapshots import Snapshot, read
from transformer.system.errors import UserError

MOST_BYTES = 30_000_000
_OTHERS = 150_000  # at most, for all but the weights


def size_of(saved: SavedModel, number_format: str, num_snapshots: int = 0) -> int:
    """About how many bytes the page of a model has, before it is made."""
    weights = distinct_tensors(saved.model.state_dict())
    packed = num_bytes(weights, number_format) + num_snapshots * num_bytes(weights, INT8)
    return _OTHERS + 4 * packed // 3


def check_size(saved: SavedModel, number_format: str, num_snapshots: int = 0, *, ways: str) -> None:
    """Raises: UserError for a page of more than MOST_BYTES; it ends with the `ways` out."""
    size = size_of(saved, number_format, num_snapshots)
    if size > MOST_BYTES:
        raise UserError(
            f"the page would have about {size / 1e6:,.0f} MB, more than {MOST_BYTES / 1e6:.0f}: "
            + ways
        )


def live_page(
    saved: SavedModel,
    *,
    number_format: str = INT8,
    snapshots: Sequence[Snapshot] = (),
    prompt: str | None = None,
    view: str = "write",
) -> str:
    """The page, which opens with `prompt` and one of its views: `write` or `explain`.

    It depends on the model, its run and these alone: two exports are the same bytes. `crc32` comes
    first in its JSON, and covers the text behind it and the decoded weights.

    Raises: UserError for weights that are not finite, a tokenizer that no page knows, and damaged
    snapshots.
    """
    weights = distinct_tensors(saved.model.state_dict())
    packer = Packer()
    try:
        tensors = packer.add(stored(weights, number_format))
    except ValueError as error:
        raise UserError(f"{saved.path}: {error}, so no page can run it") from None
    about = {
        "name": name_of(saved),
        "view": view,
        "architecture": saved.architecture,
        "tokenizer": tokenizer_data(saved.tokenizer),
        "facts": facts_of(saved, prompt),
        "curve": curve_of(run_folder(saved)),
        "tensors": tensors,
        **_moments(snapshots, weights, packer),
    }
    rest = "," + as_json(about).removeprefix("{")
    values = {
        "title": escape(name_of(saved)),
        "model": f'{{"crc32":{packer.checksum(rest)}{rest}',
        "weights": _packed(packer.data),
        "engine": _packed(zlib.compress(engine_script().encode("utf-8"), 9)),
    }
    return filled("live.html", values)


def _moments(
    snapshots: Sequence[Snapshot], weights: Mapping[str, Tensor], packer: Packer
) -> dict[str, Any]:
    """All have the same tensors, at the same offsets from their `start`: one table is enough."""
    moments, rows = [], []
    like = stored(weights, INT8) if snapshots else {}
    for snapshot in snapshots:
        loss = round(snapshot.loss, 4)
        moments.append({"step": snapshot.step, "loss": loss, "start": packer.start})
        rows = packer.add(read(snapshot, like))
    return {"snapshots": moments, "snapshot_tensors": rows}


def _packed(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
