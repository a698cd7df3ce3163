"""Reads files with clear errors; writes them completely or not at all. Imports no torch."""

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from os.path import exists, isdir, isfile
from pathlib import Path
from typing import Any, NamedTuple

from transformer.system.errors import UserError


def check_finite(path: str | Path, what: str) -> None:
    """Raises: UserError for a device such as /dev/zero, which may have no end.

    Not for a pipe, a terminal or /dev/null.
    """
    try:
        mode = os.stat(path).st_mode
        if not (stat.S_ISCHR(mode) or stat.S_ISBLK(mode)) or os.path.samefile(path, os.devnull):
            return
        with open(path, "rb", buffering=0) as file:
            if file.isatty():
                return
    except (OSError, ValueError):  # reading it says why
        return
    raise UserError(f"{path}: is a device, not a {what}: give a file")


def is_special(path: str | Path) -> bool:
    """Whether a file written at the path would be none: a device, a pipe, or one in their place.

    /dev/stdout is a link: a file that is renamed to it would take its place for all programs.
    """
    folder = os.path.realpath(os.path.dirname(os.path.abspath(path)))
    held_by_system = folder in ("/dev", "/dev/fd") or folder.startswith("/proc/")
    return held_by_system or (exists(path) and not isfile(path) and not isdir(path))


def read_bytes(path: str | Path, what: str) -> bytes:
    """Raises: UserError with the path and `what` the file should be, such as `config file`."""
    check_finite(path, what)
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: no such {what}: check the name and the folder") from None
    except (OSError, ValueError) as error:
        if isdir(path):
            raise UserError(f"{path}: is a folder, not a {what}") from None
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: cannot read this {what}: {reason}") from None


def read_utf8(path: str | Path, what: str) -> str:
    """Raises: UserError for an unreadable file; if it is not UTF-8, with its first wrong byte."""
    data = read_bytes(path, what)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise not_utf8(path, data, error.start) from None


def not_utf8(path: object, data: bytes, at: int, advice: str = "", before: int = 0) -> UserError:
    """The error of a file that is no UTF-8 at a byte; `advice` is another way out.

    `before` bytes of the file stand before these.
    """
    marked = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    encoding = "UTF-16" if marked else wide_encoding(data)
    hint = f" (it looks like {encoding})" if encoding else ""
    return UserError(
        f"{path}: not UTF-8 at byte {before + at} (0x{data[at]:02x}){hint}: "
        f"save the file as UTF-8 and try again{advice}"
    )


_FEWEST_NULS = 8  # with fewer NUL bytes no encoding is guessed


class ReadText(NamedTuple):
    text: str  # without a byte order mark
    num_carriage_returns: int  # line ends that were replaced by LF
    line_end: str  # the replaced ones: CRLF, CR, both, or empty

    @property
    def note(self) -> str:
        """`, 3 CRLF read as LF`, or nothing where all line ends were LF."""
        number = self.num_carriage_returns
        return f", {number:,} {self.line_end} read as LF" if number else ""


def read_text(path: str | Path, what: str, *, any_bytes: bool = False) -> ReadText:
    """The text of a UTF-8 file, with every line end as LF.

    With `any_bytes`, the text of another file has a lone surrogate (Python's surrogateescape) for
    each byte that does not fit, and keeps its line ends: so its bytes can be made of it again.

    CRLF is always a line end. A lone CR is one if there are more of them than of all other line
    ends, as in files of old Macs; otherwise it stays in the text.
    """
    if any_bytes:
        data = read_bytes(path, what)
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            return ReadText(data.decode("utf-8", "surrogateescape"), 0, "")
    else:
        text = read_utf8(path, what)
    return as_lines(text)


def as_lines(text: str) -> ReadText:
    """A decoded text without a byte order mark, and with every line end as LF."""
    text = text.removeprefix("\ufeff")
    if "\r" not in text:
        return ReadText(text, 0, "")
    num_crlf = text.count("\r\n")
    text = text.replace("\r\n", "\n")
    num_cr = text.count("\r")
    if num_cr > text.count("\n"):
        text = text.replace("\r", "\n")
    else:
        num_cr = 0
    names = [name for name, number in (("CRLF", num_crlf), ("CR", num_cr)) if number]
    return ReadText(text, num_crlf + num_cr, " and ".join(names))


def wide_encoding(data: bytes) -> str | None:
    """UTF-16 or UTF-32 without a byte order mark, guessed from the places of the NUL bytes."""
    start = data[: 1 << 20]
    nuls = [start[place::4].count(0) for place in range(4)]
    if sum(nuls) < max(_FEWEST_NULS, len(start) / 100):
        return None
    most = 0.9 * len(start) / 4
    if min(nuls[2:]) >= most > nuls[0]:
        return "UTF-32-LE"
    if min(nuls[:2]) >= most > nuls[3]:
        return "UTF-32-BE"
    even, odd = nuls[0] + nuls[2], nuls[1] + nuls[3]
    if odd > 20 * even:
        return "UTF-16-LE"
    return "UTF-16-BE" if even > 20 * odd else None


def describe_nuls(text: str) -> str | None:
    """How many NULs a text has, and from which encoding they may come; None without NULs."""
    num_nuls = text.count("\0")
    if not num_nuls:
        return None
    found = f"{num_nuls:,} of its {len(text):,} characters are NUL"
    if encoding := wide_encoding(text.encode("utf-8")):
        way_out = "without a byte order mark, and is read as UTF-8; save it as UTF-8"
        return f"{found}: it looks like {encoding} {way_out}"
    return f"{found}, and plain text has none"


@contextmanager
def replacing(path: str | Path, previous: Path | None = None) -> Iterator[Path]:
    """Gives a temporary path in the folder of `path`; renames it to `path` after the block.

    If the block raises an error, the temporary file is deleted instead, and the error names `path`
    in its place. A reader sees the old file or the complete new one, as the bytes are flushed to
    the disk before the rename. `previous`, if given, is where the old file is kept. Where the file
    system has hard links, there is a file at `path` at every moment.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _beside(path)
    try:
        temporary.touch(exist_ok=False)
        permissions = temporary.stat().st_mode
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(permissions)  # safetensors makes its files private
        if previous is not None and path.is_file():
            _keep(path, previous)
        os.replace(temporary, path)
    except Exception as error:
        _rename_in(error, temporary, path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: str | Path) -> Iterator[Path]:
    """Gives a new temporary folder beside `path`; renames it to `path` after the block.

    If the block raises an error, the temporary folder is deleted instead, and the error names
    `path` in its place. A folder that was at `path` before is deleted when the new one is there.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary, old = _beside(path), _beside(path)
    try:
        temporary.mkdir()
        yield temporary
        if isdir(path):
            os.replace(path, old)
        try:
            os.replace(temporary, path)
        except OSError:
            if isdir(old):
                os.replace(old, path)
            raise
    except Exception as error:
        _rename_in(error, temporary, path)
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _rename_in(error: Exception, temporary: Path, path: Path) -> None:
    """Makes an error name `path`, which the user knows, wherever it names `temporary`.

    A disk that is full while the file is written has no name in its error: it gets this one.
    """

    def renamed(text: Any) -> Any:
        if not isinstance(text, str | Path):
            return text
        return str(text).replace(temporary.name, path.name)

    if not isinstance(error, OSError) or error.errno is None:
        error.args = tuple(map(renamed, error.args))
        return
    if error.filename is None and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        error.filename = str(path)
    if error.filename is not None:  # a None that is set would be printed
        error.filename = renamed(error.filename)
    if error.filename2 is not None:
        error.filename2 = renamed(error.filename2)
        if error.filename2 == error.filename:
            del error.filename2


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")


def _keep(path: Path, previous: Path) -> None:
    """Keeps the file at `path` as `previous`: by a hard link or, without links, by renaming it."""
    link = _beside(previous)
    try:
        os.link(path, link)
        os.replace(link, previous)
    except OSError:  # the file system has no links
        os.replace(path, previous)
    finally:
        link.unlink(missing_ok=True)


def link_or_copy(source: Path, path: Path) -> None:
    """Replaces the file at `path` by a hard link to `source`, or by a copy if links fail."""
    path.unlink()
    try:
        os.link(source, path)
    except OSError:
        shutil.copyfile(source, path)


def write_text(path: str | Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def remove_leftovers(folder: Path) -> None:
    """Deletes the temporary files that a killed process left in a folder and its subfolders."""
    for path in folder.rglob(".*.tmp"):
        path.unlink(missing_ok=True)
