"""How a text is read, split and cut into chunks. Imports no torch."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from transformer.data.fractions import check_fractions
from transformer.data.sources.settings import DataPath, Reading
from transformer.data.tokenizers.registry import TOKENIZERS
from transformer.system.errors import UserError

RARE = 10  # times, for `replace_rare: true`
# The keys by which the documents of given files are read, and so their tokens.
READING_KEYS = (
    *("data_weights", "text_field", "encoding", "skip_bad_files", "document_separator"),
    *("drop_lines_seen", "drop_duplicates", "replace_rare"),
)


@dataclass(frozen=True, kw_only=True)
class TextSettings:
    block_size: int
    val_fraction: float = 0.1
    test_fraction: float = 0.0
    tokenizer: str = "characters"  # the name of a kind, or the path of a file
    vocab_size: int | Literal["auto"] = "auto"
    min_frequency: int = 2
    stride: int | Literal["block_size"] = 1
    sample_prompt: str = ""
    data_weights: Sequence[int | float] | None = None
    text_field: str | None = "text"
    encoding: str = "utf-8"
    skip_bad_files: bool = False
    drop_lines_seen: int | None = None  # in all texts together
    drop_duplicates: bool = False
    replace_rare: int | bool = False  # characters seen fewer times; True: 10
    document_separator: str = r"\n\n"  # for tokenizers without an end of text
    val_path: DataPath | None = None
    val_max_tokens: int | Literal["auto"] = "auto"
    token_files_from_mb: float = 64.0  # a larger corpus is read from token files

    def __post_init__(self) -> None:
        check_fractions(self.val_fraction, self.test_fraction)
        if self.val_path is not None and self.test_fraction:
            raise UserError(
                f"test_fraction={self.test_fraction:g} does not go with val_path: leave out one"
            )

    @staticmethod
    def auto_test_fraction(test_path: str | None) -> float:
        return 0.0

    @property
    def separator(self) -> str:
        """The characters between two documents; `\\n` and `\\t` are written as in Python."""
        return self.document_separator.replace(r"\n", "\n").replace(r"\t", "\t")

    @property
    def as_counted(self) -> dict[str, int | None]:
        """How often lines and characters must stand in a corpus; None: it is not counted."""
        rare = RARE if self.replace_rare is True else self.replace_rare or None
        return {"drop_lines_seen": self.drop_lines_seen, "replace_rare": rare}

    @property
    def counts(self) -> bool:
        """Whether lines or characters of the whole corpus are counted before it is read."""
        return any(self.as_counted.values())

    @property
    def changes_documents(self) -> bool:
        return self.counts or self.drop_duplicates

    def for_other_data(self) -> "TextSettings":
        """Without what concerns the texts of one corpus alone."""
        own = {"drop_lines_seen": None, "drop_duplicates": False, "replace_rare": False}
        return replace(self, val_path=None, data_weights=None, **own)

    def reading(self, *, any_bytes: bool = False) -> Reading:
        return Reading(
            text_field=self.text_field,
            encoding=self.encoding,
            skip_bad_files=self.skip_bad_files,
            any_bytes=any_bytes,
        )

    @property
    def used_keys(self) -> tuple[str, ...]:
        """The keys of tokenizers that the chosen one has; a file has its own values."""
        kind = TOKENIZERS.get(self.tokenizer)
        return kind.keys if kind else ()

    @property
    def tokens(self) -> str:
        return f"tokenizer: {self.tokenizer}"

    with_pieces = "tokenizer: bpe"
