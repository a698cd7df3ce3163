"""Files read with clear errors and written whole or not at all. Imports no torch."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from transformer.system.errors import UserError


def read_bytes(path: str | Path, what: str) -> bytes:
    """Raises: UserError that names the path and `what` it should have been."""
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: no such {what}: check the name and the folder") from None
    except (IsADirectoryError, PermissionError) as error:
        if Path(path).is_dir():
            raise UserError(f"{path}: is a folder, not a {what}") from None
        raise UserError(f"{path}: cannot read this {what}: {error.strerror}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot read this {what}: {error}") from None


def read_utf8(path: str | Path, what: str) -> str:
    """Raises: UserError, with the byte offset where the file stops being UTF-8."""
    data = read_bytes(path, what)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        marked = data.startswith((b"\xff\xfe", b"\xfe\xff"))
        encoding = "UTF-16" if marked else wide_encoding(data)
        hint = f" (it looks like {encoding})" if encoding else ""
        raise UserError(
            f"{path}: not UTF-8 at byte {error.start} (0x{data[error.start]:02x}){hint}: "
            "save the file as UTF-8 and try again"
        ) from None


_FEWEST_NULS = 8  # that tell an encoding


class ReadText(NamedTuple):
    """A text without a byte order mark, and how many line ends became LF, which were `line_end`."""

    text: str
    num_carriage_returns: int
    line_end: str  # CRLF, CR or both

    @property
    def note(self) -> str:
        """`, 3 CRLF read as LF`, or nothing where all line ends were LF."""
        ends = f", {self.num_carriage_returns:,} {self.line_end} read as LF"
        return ends if self.num_carriage_returns else ""


def read_text(path: str | Path, what: str) -> ReadText:
    """The text of a UTF-8 file with LF line ends.

    CRLF is a line end. CR alone is one too where it outnumbers all others, as in files of old
    Macs; a few among other line ends are kept.
    """
    text = read_utf8(path, what).removeprefix("\ufeff")
    num_crlf = text.count("\r\n")
    if num_crlf:
        text = text.replace("\r\n", "\n")
    num_cr = text.count("\r")
    if num_cr > text.count("\n"):
        text = text.replace("\r", "\n")
    else:
        num_cr = 0
    names = [name for name, number in (("CRLF", num_crlf), ("CR", num_cr)) if number]
    return ReadText(text, num_crlf + num_cr, " and ".join(names))


def wide_encoding(data: bytes) -> str | None:
    """UTF-16 or UTF-32 without a byte order mark, by where among the bytes the NULs stand."""
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
    """What a text that was read as UTF-8 and has NULs probably is."""
    num_nuls = text.count("\0")
    if not num_nuls:
        return None
    found = f"{num_nuls:,} of its {len(text):,} characters are NUL"
    encoding = wide_encoding(text.encode("utf-8"))
    if encoding is None:
        return f"{found}, as no plain text has"
    return (
        f"{found}: it looks like {encoding} without a byte order mark, and is read as UTF-8; "
        "save it as UTF-8"
    )


@contextmanager
def replacing(path: str | Path, previous: Path | None = None) -> Iterator[Path]:
    """A temporary path beside `path`, renamed onto it once the block ends without an error.

    A reader sees the old file or the whole new one, never a part: the bytes are flushed to the
    disk before the rename. The old file becomes `previous` where that is given, once the new one
    is whole; where files can have two names, there is one at `path` all the while.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _new_file_beside(path)
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        if previous is not None and path.is_file():
            _keep(path, previous)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _new_file_beside(path: Path) -> Path:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    os.close(handle)
    return Path(name)


def _keep(path: Path, previous: Path) -> None:
    """Gives the file at `path` a second name, at once; where links are unknown, that alone."""
    link = _new_file_beside(previous)
    try:
        link.unlink()
        os.link(path, link)
        os.replace(link, previous)
    except OSError:  # of a file system without links
        os.replace(path, previous)
    finally:
        link.unlink(missing_ok=True)


def link_or_copy(source: Path, path: Path) -> None:
    """Gives a file a second name in place of the file at `path`; a copy where that cannot be."""
    path.unlink()
    try:
        os.link(source, path)
    except OSError:
        shutil.copyfile(source, path)


def _umask() -> int:
    """mkstemp makes files private; give the permissions that open() would have given."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: str | Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def remove_leftovers(folder: Path) -> None:
    """What a killed process had half written in a folder and those in it."""
    for path in folder.rglob(".*.tmp"):
        path.unlink(missing_ok=True)
