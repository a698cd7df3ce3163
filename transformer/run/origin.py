"""Who asks for a run. Imports no torch."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from transformer.training.callbacks.pace import Pace


class Origin(NamedTuple):
    """The command of a run, and the pace of the run that it repeats, if it has one."""

    command: Sequence[str] | None = None
    pace: "Pace | None" = None
