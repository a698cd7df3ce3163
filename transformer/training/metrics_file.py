"""metrics.csv: the curves of a run as a table, with one row for each step."""

import csv
import io
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from transformer.system.files import replacing

Row = dict[str, Any]
STEP = "step"


class MetricsFile:
    """Everything that is logged at a step stands in the row of this step.

    A resumed run keeps the rows up to `first_step`, the step that it goes on from. Only the last
    row is ever written again, when more is logged at its step; a new column writes the whole file.
    After an error, `save` can be called again, and nothing is lost.
    """

    def __init__(self, path: Path, first_step: int) -> None:
        self._path = path
        self._names: list[str] = []  # the columns of the file
        self._rows = merged(rows_until(path, float(first_step)))  # the file's last, and new ones
        self._place, self._end = 0, b""  # where the first of these is in the file, and what follows
        self._changed = bool(self._rows)
        with suppress(OSError):
            self.save()

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        if not self._rows or _step(self._rows[-1]) != step:
            self._rows.append({STEP: step})
        self._rows[-1].update(metrics)
        self._changed = True

    @property
    def metrics(self) -> list[Row]:
        """Lightning counts them for what a callback logs without a step."""
        return self._rows

    def save(self) -> None:
        """Raises: OSError if the file cannot be written."""
        if not self._changed:
            return
        if {name for row in self._rows for name in row} <= {*self._names} and self._is_as_left():
            self._write_end()
        else:
            self._write_whole([*self._earlier(), *self._rows])
        self._changed = False

    def _earlier(self) -> list[Row]:
        """The rows that are in the file alone: none before it was first written."""
        return rows_until(self._path, _step(self._rows[0])) if self._names else []

    def _is_as_left(self) -> bool:
        """Not after a failed try, or if somebody else has written into the file."""
        try:
            with open(self._path, "rb") as file:
                file.seek(self._place)
                return file.read() == self._end
        except OSError:
            return False

    def _write_whole(self, rows: Iterable[Row]) -> None:
        """Whole or not at all, as all files of a run."""
        rows = merged(rows)
        names = [STEP, *sorted({name for row in rows for name in row} - {STEP})]
        head = as_csv(names, [dict(zip(names, names, strict=True)), *rows[:-1]])
        end = as_csv(names, rows[-1:])
        with replacing(self._path) as temporary:
            temporary.write_bytes(head + end)
        self._names, self._rows, self._place, self._end = names, rows[-1:], len(head), end

    def _write_end(self) -> None:
        head, end = as_csv(self._names, self._rows[:-1]), as_csv(self._names, self._rows[-1:])
        with open(self._path, "r+b") as file:
            file.seek(self._place)
            file.write(head + end)
            file.truncate()
        self._rows, self._place, self._end = self._rows[-1:], self._place + len(head), end


def rows_until(path: Path, step: float) -> list[Row]:
    """The rows of a file up to a step, without those that a kill has left unfinished.

    Empty for a file that is missing, or not a table with steps.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError):
        return []
    whole = text[: text.rfind("\n") + 1]
    return [row for row in csv.DictReader(io.StringIO(whole, newline="")) if _step(row) <= step]


def merged(rows: Iterable[Row]) -> list[Row]:
    """One row for each step: files of older versions have up to three."""
    found: dict[float, Row] = {}
    for row in rows:
        logged = {name: value for name, value in row.items() if name and value not in (None, "")}
        found.setdefault(_step(row), {}).update(logged)
    return list(found.values())


def as_csv(names: list[str], rows: list[Row]) -> bytes:
    text = io.StringIO(newline="")
    csv.DictWriter(text, names).writerows(rows)
    return text.getvalue().encode("utf-8")


def _step(row: Row) -> float:
    """Infinite for a row without a step."""
    try:
        return float(row[STEP])
    except (KeyError, TypeError, ValueError):
        return float("inf")
