"""What a run records of itself, so that it can be repeated."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from transformer.run.circumstances import circumstances
from transformer.run.preparation import Prepared
from transformer.storage.repeat_record import (
    Part,
    changed_settings,
    read_parts,
    with_part,
)
from transformer.system.errors import UserError
from transformer.system.processes import is_rank_0


def parts_of(
    folder: Path,
    step: int,
    prepared: Prepared,
    before: Mapping[str, Any],
    command: Sequence[str] | None,
    start_from_sha256: str | None,
) -> list[Part]:
    """The parts of a run that goes on at `step`, with this one; `before` is the config until then.

    Only rank 0 writes them.
    """
    if not is_rank_0():
        return []
    new = replace(
        circumstances(prepared.hardware["accelerator"], prepared.hardware["devices"]),
        from_step=step,
        command=command,
        start_from_sha256=start_from_sha256,
        changed=changed_settings(before, prepared.config.resolved()),
    )
    try:
        known = read_parts(folder)
    except UserError:  # training goes on without what a damaged file says
        known = []
    return with_part(known, new)
