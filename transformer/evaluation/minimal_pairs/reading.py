"""Reads files of minimal pairs. Imports no torch."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from numpy import int32
from numpy.typing import NDArray

from transformer.data.tokenizers.base import Tokenizer
from transformer.system.errors import UserError, in_one_line
from transformer.system.files import as_lines, not_utf8, read_bytes

WHAT = "file of minimal pairs"
_JSON_ENDINGS = (".jsonl", ".ndjson", ".json")
# BLiMP's names (Warstadt et al. 2020, arXiv:1912.00582). Its UIDs are finer than its terms.
_SENTENCES = ("sentence_good", "sentence_bad")
_PHENOMENA = ("UID", "linguistics_term", "phenomenon")
_COLUMNS = "acceptable, unacceptable, and if you like the name of the phenomenon"


class MinimalPair(NamedTuple):
    line: int
    acceptable: str
    unacceptable: str
    phenomenon: str  # empty if the file names none


class EncodedPair(NamedTuple):
    acceptable: NDArray[int32]
    unacceptable: NDArray[int32]


def read_minimal_pairs(path: str) -> list[MinimalPair]:
    """The pairs of a UTF-8 file: columns parted by tabs, or one JSON object a line as in BLiMP.

    A file is read as JSON if its name ends so, or if it starts with a brace.

    Raises: UserError with the number of the first line that is malformed, and for an empty file.
    """
    data = read_bytes(path, WHAT)
    try:
        text = as_lines(data.decode("utf-8")).text
    except UnicodeDecodeError as error:
        line = 1 + data.count(b"\n", 0, error.start)
        raise not_utf8(f"{path}:{line}", data, error.start) from None
    if not text.strip():
        raise UserError(f"{path}: the file is empty: a {WHAT} has one pair in each line")
    is_json = path.lower().endswith(_JSON_ENDINGS) or text.startswith("{")
    read = _from_json if is_json else _from_columns
    lines = enumerate(text.removesuffix("\n").split("\n"), start=1)
    return [_checked(path, number, read(f"{path}:{number}", line)) for number, line in lines]


def _checked(path: str, line: int, found: Sequence[str]) -> MinimalPair:
    for which, sentence in zip(("acceptable", "unacceptable"), found, strict=False):
        if not sentence.strip():
            raise UserError(
                f"{path}:{line}: the {which} sentence is empty: fill it in, or delete the line"
            )
    return MinimalPair(line, *found)


def _from_columns(place: str, line: str) -> Sequence[str]:
    columns = line.split("\t")
    if len(columns) not in (2, 3):
        number = f"{len(columns)} column{'s' * (len(columns) > 1)}"
        raise UserError(f"{place}: has {number}, but a pair has 2 or 3, parted by tabs: {_COLUMNS}")
    return (*columns, "") if len(columns) == 2 else columns


def _from_json(place: str, line: str) -> Sequence[str]:
    try:
        found: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        reason = in_one_line(error)
        raise UserError(
            f"{place}: is not one JSON object: {reason}: mend or delete the line"
        ) from None
    if not isinstance(found, dict):
        raise UserError(f"{place}: is not one JSON object, as {{...}}: mend or delete the line")
    sentences = [found.get(name) for name in _SENTENCES]
    for name, sentence in zip(_SENTENCES, sentences, strict=True):
        if not isinstance(sentence, str):
            raise UserError(f"{place}: has no text under {name!r}, as lines of BLiMP have")
    names = (found[name] for name in _PHENOMENA if isinstance(found.get(name), str))
    return (*map(str, sentences), next(names, ""))


def encode_pairs(
    path: str, pairs: Sequence[MinimalPair], tokenizer: Tokenizer, *, skip_unknown: bool
) -> tuple[list[EncodedPair], int]:
    """The ids of both sentences of each pair, and the number of unknown units that were dropped.

    Raises: UserError with the line of a sentence that has unknown units, or nothing else.
    """
    encoded, num_dropped = [], 0
    for pair in pairs:
        sides = []
        for sentence in (pair.acceptable, pair.unacceptable):
            ids, num_unknown = tokenizer.encode_known(sentence)
            place = f"{path}:{pair.line}"
            if num_unknown and not skip_unknown:
                _raise_unknown(place, sentence, tokenizer)
            if not len(ids):
                raise UserError(
                    f"{place}: the model knows nothing of {sentence!r}: delete the line"
                )
            num_dropped += num_unknown
            sides.append(ids)
        encoded.append(EncodedPair(*sides))
    return encoded, num_dropped


def _raise_unknown(place: str, sentence: str, tokenizer: Tokenizer) -> None:
    try:
        tokenizer.encode(sentence)
    except UserError as error:
        raise UserError(f"{place}: {error}") from None
