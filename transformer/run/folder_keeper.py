"""Locks the folder of a run during training, and makes it again if it disappears."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from os.path import isfile
from pathlib import Path
from typing import Any

from transformer.config.files import to_yaml
from transformer.storage.repeat_record import RECORD, Part, as_json
from transformer.storage.run_folder import CONFIG, LAUNCH, WEIGHTS, not_writable
from transformer.storage.run_lock import RunLock
from transformer.storage.summaries import set_aside_summary
from transformer.system.files import write_text
from transformer.system.processes import launch_id

log = logging.getLogger(__name__)


class RunFolder:
    """Only rank 0 uses it."""

    def __init__(
        self, path: Path, settings: Mapping[str, Any], lock: RunLock, parts: Sequence[Part]
    ) -> None:
        self.path = path
        self.settings = settings
        self.lock = lock
        self.parts = parts

    def write_start(self) -> None:
        write_text(self.path / CONFIG, to_yaml(self.settings))
        write_text(self.path / RECORD, as_json(self.parts))
        if launch := launch_id():
            write_text(self.path / LAUNCH, launch)

    def keep(self, step: int) -> bool:
        """Makes the folder again, with a warning, if it was moved or removed.

        Returns whether it was gone. If it cannot be made, the next save reports the error.

        Raises: UserError if another run has taken its place.
        """
        if self.is_there():
            return False
        is_gone = not isfile(self.path / CONFIG)
        with suppress(OSError):
            self.path.mkdir(parents=True, exist_ok=True)
            self.lock.take(self.path)
            if is_gone:
                self.write_start()
                log.warning(
                    "step %s: %s is gone, moved or removed during training: it is made again with "
                    "everything that is needed to continue. The best model so far and the curves "
                    "so far are in the moved folder",
                    f"{step:,}",
                    self.path,
                )
        return is_gone

    def is_there(self) -> bool:
        return isfile(self.path / CONFIG) and self.lock.is_at(self.path)

    def begin(self) -> None:
        """A run that goes on after its end has not ended."""
        set_aside_summary(self.path)

    def has_weights(self) -> bool:
        return isfile(self.path / WEIGHTS)


def lock_run(lock: RunLock, folder: Path) -> None:
    """Raises: UserError if another process trains in the folder, or it cannot be written."""
    try:
        lock.take(folder)
    except OSError as error:
        raise not_writable(folder, f"cannot write in it ({error.strerror})") from None
