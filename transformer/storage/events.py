"""What a run has logged, from its TensorBoard events. Imports no torch."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

EVENTS = "events.out.tfevents.*"


class Point(NamedTuple):
    """One logging; `seconds` are counted from the first event."""

    step: int
    seconds: float
    value: float


Curves = dict[str, list[Point]]  # by the logged name; what was never logged is not in it


def read_events(path: Path) -> EventAccumulator:
    """Of a run's folder or of one file, with all points of its curves."""
    # It says how many events it leaves out: what a run logged after the checkpoint it resumed from.
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
