"""The user's cache folder: what takes long to compute, and may be deleted at any time. No torch."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from transformer.system.files import replacing
from transformer.system.paths import expanded

T = TypeVar("T")

_LOCK_SECONDS = 600.0  # longer than it takes to encode the largest texts
_UNREADABLE = (OSError, ValueError, EOFError)

log = logging.getLogger(__name__)


def cache_folder(named: str | None) -> Path:
    from platformdirs import user_cache_path  # here and below: --help needs neither

    return Path(expanded(named)) if named else user_cache_path("transformer-trainer")


def kept(
    path: Path,
    make: Callable[[], T],
    read: Callable[[Path], T],
    write: Callable[[Path, T], object],
    *,
    most_files: int,
) -> T:
    """The content of the file `path`; if it is missing or damaged, it is made and written.

    Processes that ask at the same time wait for the first one's answer. Of the files with the same
    suffix in this folder, the `most_files` that were used last stay. If the folder cannot be used,
    every call makes the content.
    """
    with _locked(path) as usable:
        if not usable:
            return make()
        try:
            found = read(path)
            path.touch()
            return found
        except _UNREADABLE:
            made = make()
        try:
            with replacing(path) as temporary:
                write(temporary, made)
            _keep_newest(path, most_files)
        except OSError as error:
            log.info("%s: cannot be written (%s); it is made again each time", path, error.strerror)
        return made


@contextmanager
def _locked(path: Path) -> Iterator[bool]:
    from filelock import FileLock, Timeout

    lock = FileLock(path.with_suffix(".lock"), timeout=_LOCK_SECONDS)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except (OSError, Timeout):
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


@contextmanager
def locked(path: Path, waiting: str) -> Iterator[None]:
    """One process at a time; the others wait as long as it takes, and say so once."""
    from filelock import FileLock, Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_name(f"{path.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.info("%s: waiting for it", waiting)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _keep_newest(path: Path, most_files: int) -> None:
    files = sorted(path.parent.glob(f"*{path.suffix}"), key=lambda file: file.stat().st_mtime)
    for old in files[:-most_files]:
        old.unlink(missing_ok=True)
        old.with_suffix(".lock").unlink(missing_ok=True)
