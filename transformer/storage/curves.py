"""The curves of a run, from its TensorBoard events. Imports no torch."""

from pathlib import Path

from transformer.storage.events import EVENTS, Curves, read_scalars
from transformer.system.errors import UserError

TRAIN_LOSS = "train_loss"
VAL_LOSS = "val_loss"
PER_BYTE = "val_bits_per_byte"  # only in runs on a text
PER_CHARACTER = "val_bits_per_char"
ERROR_RATE = "val_word_error_rate"  # only in runs on pairs, as the next one
UNIT_ERROR_RATE = "val_unit_error_rate"
_READ = (TRAIN_LOSS, VAL_LOSS, PER_BYTE, PER_CHARACTER, ERROR_RATE, UNIT_ERROR_RATE)


def read_curves(run: Path) -> Curves:
    """The losses and error rates in a run's folder.

    A resumed run has one file of events for each start. If a step was made twice, for example
    because of a crash, the later point is used. Its seconds continue from the step before it,
    without the time between the two starts.

    Raises: UserError for a folder without curves.
    """
    curves: Curves = {}
    for path in sorted(run.glob(EVENTS)):  # a name starts with the file's time
        found = read_scalars(path, _READ)
        if found:
            _follow_on(curves, found)
    if not curves:
        raise UserError(
            f"{run}: has no curves ({EVENTS}): give the folder of a run that has logged its "
            "first losses, such as runs/default/version_0"
        )
    return curves


def _follow_on(curves: Curves, found: Curves) -> None:
    """Adds the curves of a later start to the earlier curves, in place."""
    first_step = min(points[0].step for points in found.values())
    for name, points in curves.items():
        curves[name] = [point for point in points if point.step < first_step]
    before = max((points[-1].seconds for points in curves.values() if points), default=0.0)
    for name, points in found.items():
        later = [point._replace(seconds=point.seconds + before) for point in points]
        curves[name] = curves.get(name, []) + later
