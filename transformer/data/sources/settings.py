"""How the files of a corpus are read. Imports no torch."""

from collections.abc import Callable
from dataclasses import dataclass

DataPath = str | list[str] | tuple[str, ...]  # a file, a folder, a pattern, or several of them


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The keys of a config about reading; `any_bytes` as in `system.files.read_text`.

    `cleaning` changes each text that is read.
    """

    text_field: str | None = "text"  # None: records are read as plain text
    encoding: str = "utf-8"
    skip_bad_files: bool = False
    any_bytes: bool = False
    cleaning: Callable[[str], str] | None = None

    @property
    def is_wide(self) -> bool:
        """Whether text in this encoding has NUL bytes, which otherwise are a sign of no text."""
        return self.encoding.startswith(("utf-16", "utf-32"))

    def cleaned(self, text: str) -> str:
        return text if self.cleaning is None else self.cleaning(text)


def listed(data_path: object) -> list[str]:
    """The parts of a data_path."""
    return [*map(str, data_path)] if isinstance(data_path, list | tuple) else [str(data_path)]


def in_words(data_path: object) -> str:
    """A data_path in a message: `a.txt`, `a.txt and b.txt`, `a.txt and 3 more`."""
    first, *others = map(shown, listed(data_path))
    if not others:
        return first
    return f"{first} and {others[0] if len(others) == 1 else f'{len(others):,} more'}"


def shown(path: str) -> str:
    """A path in a message or a file; bytes of a name that are no UTF-8 as `\\udcff`."""
    return path.encode("utf-8", "backslashreplace").decode()
