"""Files and records that cannot be read: named in an error, or skipped and counted. No torch."""

import logging
from dataclasses import dataclass, field

from transformer.system.errors import UserError

_NAMED = 3

log = logging.getLogger(__name__)


class BadFile(UserError):
    """A file that cannot be read; its text names the file, the reason and the way out."""


@dataclass
class Faults:
    """Collects what is skipped; without `skip`, the first fault is raised."""

    skip: bool
    files: list[str] = field(default_factory=list)
    num_records: int = 0
    first_record: str = ""

    def file(self, error: BadFile) -> None:
        """Raises: the error, unless bad files are skipped."""
        if not self.skip:
            raise BadFile(f"{error}; or give `skip_bad_files=True` to leave such files out")
        self.files.append(str(error))

    def record(self, place: str, reason: str) -> None:
        """Raises: UserError, unless bad records are skipped."""
        if not self.skip:
            raise UserError(
                f"{place}: {reason}; or give `skip_bad_files=True` to leave such records out"
            )
        self.first_record = self.first_record or f"{place}: {reason}"
        self.num_records += 1

    def add(self, other: "Faults") -> None:
        self.files += other.files
        self.num_records += other.num_records
        self.first_record = self.first_record or other.first_record

    def report(self) -> None:
        if self.files:
            more = len(self.files) - _NAMED
            named = "; ".join(self.files[:_NAMED]) + (f"; and {more:,} more" if more > 0 else "")
            log.warning("skip_bad_files: %s left out: %s", counted(len(self.files), "file"), named)
        if self.num_records:
            number = counted(self.num_records, "record")
            log.warning("skip_bad_files: %s left out, first %s", number, self.first_record)

    @property
    def note(self) -> str:
        """`, 2 bad files and 3 bad records left out`, or nothing."""
        parts = [
            counted(number, f"bad {name}")
            for name, number in (("file", len(self.files)), ("record", self.num_records))
            if number
        ]
        return f", {' and '.join(parts)} left out" if parts else ""


def counted(number: int, noun: str) -> str:
    """`1 file`, `2 files`."""
    return f"{number:,} {noun}{'s' * (number != 1)}"
