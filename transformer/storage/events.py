"""Reads the curves of a run from its TensorBoard events. Imports no torch."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

EVENTS = "events.out.tfevents.*"


class Point(NamedTuple):
    """One logged value; `seconds` count from the first event."""

    step: int
    seconds: float
    value: float


Curves = dict[str, list[Point]]  # name -> points; a name that was never logged is missing


def read_events(path: Path) -> "EventAccumulator":
    """Reads a run's folder or one file of events, with all points of all curves."""
    # Not imported for `plot.py --help`, of which it would be a fifth.
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    # Hides a message about events that a run logged after the checkpoint it was resumed from.
    logging.getLogger("tensorboard").setLevel(logging.ERROR)
    events = EventAccumulator(str(path), size_guidance={"scalars": 0})  # 0: all of them
    events.Reload()
    return events


def read_scalars(path: Path, names: Sequence[str]) -> Curves:
    events = read_events(path)
    logged = [name for name in names if name in events.Tags()["scalars"]]
    started_at = events.FirstEventTimestamp() if logged else 0.0
    return {
        name: [Point(e.step, e.wall_time - started_at, e.value) for e in events.Scalars(name)]
        for name in logged
    }
