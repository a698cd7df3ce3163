"""From the bytes of a file to its text; proposes an encoding where they do not fit. No torch."""

import codecs
from encodings.aliases import aliases
from importlib.util import find_spec

from transformer.data.sources.faults import BadFile
from transformer.data.sources.settings import shown
from transformer.system.errors import UserError
from transformer.system.files import ReadText, as_lines, not_utf8

_PROPOSED_FROM = 1 << 18  # bytes of the file
_BEFORE = 1 << 16  # of these, before the first byte that does not fit


def check_encoding(name: str) -> str:
    """The usual name of one of Python's own encodings. Raises: UserError for another name."""
    module = name.lower().replace("-", "_").replace(" ", "_")
    module = aliases.get(module, module)
    try:
        if "." not in module and find_spec(f"encodings.{module}") is not None:
            found = codecs.lookup(module)
            "a".encode(found.name)  # an error for those that are not of text, such as base64
            return found.name
    except LookupError:
        pass
    raise UserError(
        f"`encoding={name}` is unknown: give a name such as utf-8, latin-1, cp1252 or gb18030"
    )


def proposed(data: bytes, at: int) -> str | None:
    """The likeliest encoding of bytes that are no UTF-8 at a place, by charset-normalizer."""
    from charset_normalizer import from_bytes

    sample = data[max(0, at - _BEFORE) :][:_PROPOSED_FROM]
    best = from_bytes(sample).best()
    return None if best is None or best.encoding in ("ascii", "utf_8") else best.encoding


def decoded(data: bytes, path: str, encoding: str = "utf-8") -> str:
    """Raises: BadFile with the first byte that does not fit, and a proposal."""
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise not_decoded(data, error.start, path, encoding) from None


def not_decoded(data: bytes, at: int, path: str, encoding: str, *, before: int = 0) -> BadFile:
    """The error for bytes of which one does not fit; `before` stand before them in the file."""
    if encoding == "utf-8":
        name = proposed(data, at)
        advice = f", or give its `encoding`: charset-normalizer proposes {name}" if name else ""
        return BadFile(not_utf8(shown(path), data, at, advice, before))
    return BadFile(
        f"{shown(path)}: not {encoding} at byte {before + at} (0x{data[at]:02x}): "
        "give another `encoding`, or save the file as UTF-8"
    )


def read_as_text(
    data: bytes, path: str, encoding: str = "utf-8", *, any_bytes: bool = False
) -> ReadText:
    """The text with every line end as LF; with `any_bytes`, as `system.files.read_text`."""
    if any_bytes and encoding == "utf-8":
        try:
            return as_lines(data.decode("utf-8"))
        except UnicodeDecodeError:
            return ReadText(data.decode("utf-8", "surrogateescape"), 0, "")
    return as_lines(decoded(data, path, encoding))
