"""Characters that do not belong in a text. Imports no torch."""

import re
from collections.abc import Callable, Iterator

from transformer.data.text.settings import RARE
from transformer.inspection.corpus.findings import NAMED, Finding, shortened
from transformer.inspection.corpus.portion import Portion
from transformer.inspection.corpus.sample import HIGH

_SURE = 1000  # characters for each rare symbol; a shorter text has many of them
# UTF-8 that was read as cp1252 or Latin-1 and saved again: a lead byte and what follows it. After
# the leads of Greek and Cyrillic, three in a row, as German writes such pairs in quotation marks.
# ftfy repairs more kinds, but it judges whole texts, and has no places.
_NEXT = "[" + re.escape(HIGH[:64]) + "\u0080-\u00bf]"
_DOUBLED = re.compile(
    f"[\u00c2\u00c3]{_NEXT}|\u00e2\u20ac{_NEXT}|\u00f0\u0178{_NEXT}{{2}}"
    f"|(?:[\u00ce\u00cf]{_NEXT}){{3,}}|(?:[\u00d0\u00d1]{_NEXT}){{3,}}"
)
# One long run, or lines of the same kind as mail programs wrap them.
_BLOB = re.compile(
    r"(?<![A-Za-z0-9+/])(?:[A-Za-z0-9+/]{200,}|(?:[A-Za-z0-9+/]{60,}\n){3,}[A-Za-z0-9+/]*)={0,2}"
)
_BY_HAND = "remove them from a copy of your files"

Check = Callable[[Portion], Iterator[Finding]]


def _matches(
    pattern: str | re.Pattern[str], kind: str, what: str, advice: str, *, in_ascii: bool = True
) -> Check:
    """A check for a pattern; `in_ascii` if text in ASCII can have it."""
    compiled = re.compile(pattern)

    def check(portion: Portion) -> Iterator[Finding]:
        number, places = 0, []
        for sample in portion.samples:
            if not in_ascii and sample.text.isascii():
                continue
            for match in compiled.finditer(sample.text):
                number += 1
                if len(places) < NAMED:
                    places.append(f"{sample.at(match.start())}: {shortened(match[0], 20)}")
        if number:
            yield Finding(kind, number, what, places, advice)

    return check


def odd_line_ends(portion: Portion) -> Iterator[Finding]:
    """Files of old Macs, and CR in the middle of lines."""
    number, places, within = 0, [], False
    for sample in portion.samples:
        if sample.num_cr:
            number += sample.num_cr
            places.append(f"{sample.at(0)}: {sample.num_cr:,} line ends are CR")
            continue
        found = [match.start() for match in re.finditer("\r", sample.text)]
        number, within = number + len(found), within or bool(found)
        places += [f"{sample.at(place)}: CR within a line" for place in found[:NAMED]]
    if number:
        advice = "nothing need be done: a file whose line ends are CR is read as if they were LF"
        if within:
            advice = "save a copy of the files with LF line ends"
        yield Finding("odd line ends", number, "CR without a LF after it", places[:NAMED], advice)


def rare_symbols(portion: Portion) -> Iterator[Finding]:
    rare = [symbol for symbol, number in portion.symbols.items() if number < RARE]
    if not rare or int(portion.lengths.sum()) <= _SURE * len(rare):
        return
    places = []
    for symbol in rare[::-1][:NAMED]:
        sample = next(sample for sample in portion.samples if symbol in sample.text)
        at = sample.text.index(symbol)
        around = shortened(sample.text[max(0, at - 15) : at + 15].replace("\n", " "))
        places.append(f"{symbol!r} in {sample.at(at)}: {around}")
    yield Finding(
        "rare symbols", len(rare), f"symbols seen fewer than {RARE} times", places,
        "a model cannot learn them: train with --replace_rare true, or with --tokenizer bytes",
    )  # fmt: skip


CHECKS: tuple[Check, ...] = (
    _matches(
        _DOUBLED, "doubled UTF-8", "places of UTF-8 that was read in another encoding and saved",
        "repair a copy of the file, for example with the package ftfy", in_ascii=False,
    ),
    _matches(
        "\ufffd", "replaced characters", "characters that were lost (U+FFFD)",
        "read the original with its own encoding, for example --encoding cp1252", in_ascii=False,
    ),
    _matches(
        r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", "control characters", "control characters",
        f"train with --replace_rare true if they are rare; otherwise {_BY_HAND}",
    ),
    _matches(
        "[\u200b-\u200f\u2060-\u2064\ufeff\u00ad]", "invisible characters",
        "characters without width",
        f"train with --replace_rare true if they are rare; otherwise {_BY_HAND}", in_ascii=False,
    ),
    odd_line_ends,
    _matches(_BLOB, "blobs", "long runs of base64 or the like", f"they are no text: {_BY_HAND}"),
    rare_symbols,
)  # fmt: skip
