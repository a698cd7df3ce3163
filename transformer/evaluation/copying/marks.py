"""The copied passages of what generate.py writes. Imports no torch."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from transformer.data.tokenizers.base import Tokenizer
from transformer.data.tokenizers.utf8 import printable
from transformer.evaluation.copying.figures import Copied, Figures, find_figures, where
from transformer.evaluation.copying.training_text import find_training_text
from transformer.generation.continuation import Continuation
from transformer.generation.exact_text import exact_text
from transformer.generation.marking import FindMarks, Marks

if TYPE_CHECKING:
    from transformer.storage.model_file import SavedModel


def marker(saved: "SavedModel", data_path: Any, least: int, cache_dir: str | None) -> FindMarks:
    """Finds the corpus now, before a text is written, and its passages in the texts later.

    Raises: UserError for a corpus that is missing, has changed or is too short.
    """
    tokenizer = saved.tokenizer
    assert isinstance(tokenizer, Tokenizer)
    source = find_training_text(saved, data_path, cache_dir)
    source.check_length(least)

    def find(rows: Sequence[Continuation]) -> Marks:
        texts = [exact_text(row, tokenizer) for row in rows]
        return marks_of(find_figures(source, texts, least))

    return find


def marks_of(figures: Figures) -> Marks:
    facts, all_spans = [], []
    shared = {"min_copied": figures.least, "data_path": figures.source.name}
    if figures.held_out:
        shared["held_out"] = figures.summary_of(figures.held_out)
    for number, text in enumerate(figures.written.texts):
        passages = figures.facts_of(number)
        one = Copied([text], [figures.written.passages[number]])
        facts.append(figures.summary_of(one) | {"passages": passages} | shared)
        all_spans.append(_shown(one, text))
    return Marks(all_spans, facts, _summary(figures))


def _shown(copied: Copied, text: str) -> list[tuple[int, int]]:
    """Its spans, in characters of the text as it is shown."""
    if printable(text) == text:
        return copied.spans[0]
    return [
        (len(printable(text[:start])), len(printable(text[:end]))) for start, end in copied.spans[0]
    ]


def _summary(figures: Figures) -> str:
    written, held_out, least = figures.written, figures.held_out, figures.least
    name, comparison = figures.source.name, figures.source.comparison
    if all(len(text) < least for text in written.texts):
        return f"nothing, as no text has {least:,} characters: see --min_copied"
    line = f"{_share_in_words(written)} in passages of {least:,} or more that are in {name} "
    line += "(training split)"
    if longest := written.longest:
        line += f", the longest {len(longest.text):,}: {where(figures.place_of(longest.place))}"
    if held_out:
        line += f"; of held-out text {_share_in_words(held_out)}"
        if longest := held_out.longest:
            line += f", the longest {len(longest.text):,}"
    return line + (f" ({comparison})" if comparison else "")


def _share_in_words(copied: Copied) -> str:
    return f"{100 * (copied.share or 0):.2f} % of {copied.num_characters:,} characters"
