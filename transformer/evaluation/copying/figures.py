"""How much of a model's text is copied, beside held-out text of the author. Imports no torch."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from transformer.data.placed_texts import PlacedText, PlacedTexts
from transformer.data.sources.settings import shown
from transformer.data.text.documents import TRAIN, VAL
from transformer.data.tokenizers.utf8 import printable
from transformer.evaluation.copying.search import Passage, Place, find_copied, spans
from transformer.evaluation.copying.training_text import TrainingText
from transformer.system.progress import progress

HELD_OUT = 1_000_000  # characters of the validation split


class Longest(NamedTuple):
    text: str
    place: Place


@dataclass(frozen=True)
class Copied:
    """Texts, and the passages of each that stand in the training split."""

    texts: Sequence[str]
    passages: Sequence[Sequence[Passage]]

    @cached_property
    def num_characters(self) -> int:
        return sum(map(len, self.texts))

    @cached_property
    def spans(self) -> list[list[tuple[int, int]]]:
        """Of each text, with overlapping passages joined."""
        return list(map(spans, self.passages))

    @cached_property
    def num_copied(self) -> int:
        """Characters in at least one passage."""
        return sum(end - start for own in self.spans for start, end in own)

    @property
    def share(self) -> float | None:
        """None without a character."""
        return self.num_copied / self.num_characters if self.num_characters else None

    @property
    def longest(self) -> Longest | None:
        found = [
            (one.length, -number, one) for number, own in enumerate(self.passages) for one in own
        ]
        if not found:
            return None
        _, number, one = max(found, key=lambda each: each[:2])
        return Longest(self.texts[-number][one.start : one.end], one.place)


def where(place: Mapping[str, Any]) -> str:
    """A place of the facts in words, such as `a.jsonl, line 3, line 1 of its text`."""
    line = f"line {place['line']:,}"
    parts = [place["record"], f"{line} of its text"] if place["record"] else [line]
    return ", ".join([place["file"], *parts])


@dataclass(frozen=True)
class Figures:
    """Of a model's text and of held-out text; None for a corpus without any."""

    least: int
    source: TrainingText
    written: Copied
    held_out: Copied | None

    def place_of(self, place: Place) -> dict[str, Any]:
        line = self.source.texts.line_in_file(*place)
        return {"file": shown(place.file), "record": place.record or None, "line": line}

    def facts_of(self, number: int) -> list[dict[str, Any]]:
        """The passages of one text; places are characters of the text as it is shown."""
        text = self.written.texts[number]
        is_shown = printable(text) == text
        found = []
        for one in self.written.passages[number]:
            start, end = one.start, one.end
            if not is_shown:
                start, end = (len(printable(text[:at])) for at in (start, end))
            found.append({"start": start, "length": end - start, **self.place_of(one.place)})
        return found

    def summary_of(self, copied: Copied) -> dict[str, Any]:
        longest = copied.longest
        place = {"text": printable(longest.text), **self.place_of(longest.place)} if longest else {}
        return {
            "characters": copied.num_characters,
            "copied": copied.num_copied,
            "share": copied.share,
            "longest": {"length": len(longest.text), **place} if longest else None,
        }


def find_figures(source: TrainingText, texts: Sequence[str], least: int) -> Figures:
    """Reads the training split once, for both."""
    held_out = source.texts.sample(VAL, HELD_OUT)
    passages = find_copied([*texts, *held_out], _watched(source.texts), least)
    number = len(texts)
    return Figures(
        least,
        source,
        Copied(texts, passages[:number]),
        Copied(held_out, passages[number:]) if any(held_out) else None,
    )


def _watched(texts: PlacedTexts) -> Iterator[PlacedText]:
    with progress("searching", texts.num_characters, " characters") as bar:
        for one in texts.texts(TRAIN):
            yield one
            bar.update(len(one.text))
