"""Finds the targets of sources with an encoder-decoder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from transformer.data.tokenizers.pairs import PairTokenizer
from transformer.decoding.beam_search import Hypothesis, beam_search
from transformer.decoding.sampling import NotFiniteError
from transformer.decoding.settings import Search
from transformer.generation.number_formats import prepare
from transformer.models.base import evaluating
from transformer.models.encoder_decoder import EncoderDecoder
from transformer.special_ids import BEGIN, END, PADDING
from transformer.storage.model_file import SavedModel, load_model
from transformer.system.errors import UserError
from transformer.system.paths import expanded
from transformer.system.speed import Choice

BATCH_SIZE = 256  # sources in one beam search


def load_translator(
    path: str | Path,
    device: str = "auto",
    precision: str = "auto",
    *,
    num_rows: int = 1,
    cache_dir: str | None = None,
) -> "Translator":
    """Loads the file of an encoder-decoder, ready to `translate(["transformer"])`.

    Raises: UserError if the file does not hold an encoder-decoder, and like `transformer.load`,
    which explains `precision`, `num_rows` (here sources times beams) and `cache_dir`.
    """
    saved = load_model(expanded(path))
    return make_translator(saved, device, precision, num_rows=num_rows, cache_dir=cache_dir)


def make_translator(
    saved: SavedModel,
    device: str,
    precision: str,
    *,
    num_rows: int = 1,
    cache_dir: str | None = None,
) -> "Translator":
    if not isinstance(saved.model, EncoderDecoder):
        kind = saved.architecture["model"]
        raise UserError(
            f"{saved.path}: holds a {kind}, which has no source: load it with transformer.load"
        )
    assert isinstance(saved.tokenizer, PairTokenizer)
    chosen = prepare(saved.model, device, precision, num_rows=num_rows, cache_dir=cache_dir)
    return Translator(saved.model, saved.tokenizer, saved, chosen)


class Translator:
    """An encoder-decoder and its tokenizer; `saved` is the content of its file, if it has one.

    `precision` says the number format of a loaded model, and why.
    """

    def __init__(
        self,
        model: EncoderDecoder,
        tokenizer: PairTokenizer,
        saved: SavedModel | None = None,
        precision: Choice | None = None,
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.saved = saved
        self.precision = precision

    def translate(
        self,
        sources: Sequence[str],
        *,
        num_beams: int = 1,
        length_penalty: float = Search.length_penalty,
        max_new_tokens: int | None = None,
        batch_size: int = BATCH_SIZE,
        skip_unknown: bool = False,
    ) -> list[str]:
        """The best target found for each source; one beam is greedy decoding.

        Raises: like `search`.
        """
        found = self.search(
            sources,
            num_beams=num_beams,
            length_penalty=length_penalty,
            max_new_tokens=max_new_tokens,
            batch_size=batch_size,
            skip_unknown=skip_unknown,
        )
        return [self.text(best[0]) for best in found]

    def search(
        self,
        sources: Sequence[str],
        *,
        num_beams: int = 1,
        num_results: int = 1,
        length_penalty: float = Search.length_penalty,
        max_new_tokens: int | None = None,
        batch_size: int = BATCH_SIZE,
        skip_unknown: bool = False,
    ) -> list[list[Hypothesis]]:
        """At least one hypothesis for each source, the best first; see `beam_search`.

        A target has at most max_new_tokens tokens, end included. The default, and the largest
        possible value, is block_size + 1.

        Raises: UserError for a source that is empty, is longer than block_size or has unknown units
        (`skip_unknown` drops them), and if the logits are not finite; ValueError for settings out
        of range.
        """
        encoded = [self.encode(source, skip_unknown=skip_unknown) for source in sources]
        order = sorted(range(len(sources)), key=lambda number: len(encoded[number]))
        found: list[list[Hypothesis]] = [[]] * len(sources)
        most = self.model.block_size + 1
        settings = {
            "num_beams": num_beams,
            "num_results": num_results,
            "length_penalty": length_penalty,
            "max_new_tokens": most if max_new_tokens is None else min(max_new_tokens, most),
        }
        with evaluating(self.model), torch.inference_mode():
            for start in range(0, len(order), batch_size):
                numbers = order[start : start + batch_size]
                results = self._search([encoded[number] for number in numbers], settings)
                for number, best in zip(numbers, results, strict=True):
                    found[number] = best
        return found

    def _search(
        self, sources: Sequence[NDArray], settings: dict[str, Any]
    ) -> list[list[Hypothesis]]:
        device = next(self.model.parameters()).device
        tensors = [torch.from_numpy(source).long() for source in sources]
        padded = torch.nn.utils.rnn.pad_sequence(tensors, True, PADDING).to(device)  # (B, S)
        try:
            return beam_search(
                self.model.given(padded, settings["max_new_tokens"]),
                len(padded),
                begin=BEGIN,
                end=END,
                forbidden=(PADDING, BEGIN),
                device=device,
                **settings,
            )
        except NotFiniteError as error:
            name = f"{self.saved.path}: " if self.saved else ""
            raise UserError(f"{name}{error}") from None

    def encode(self, source: str, *, skip_unknown: bool = False) -> NDArray:
        try:
            tokens = self.tokenizer.source.encode(source, skip_unknown=skip_unknown)
        except UserError as error:
            raise UserError(f"{source[:40]!r}: {error}") from None
        if not len(tokens):
            raise UserError("the source is empty: give a text of at least one unit")
        if len(tokens) > self.model.block_size:
            raise UserError(
                f"{source[:40]!r}: {len(tokens)} {self.tokenizer.source.units}, but the model "
                f"reads at most {self.model.block_size}: give a shorter source"
            )
        return tokens

    def drop_unknown(self, source: str) -> tuple[str, int]:
        """The source without unknown units, and the number of unknown ones."""
        known, num_dropped = self.tokenizer.source.encode_known(source)
        return self.tokenizer.source.decode(known), num_dropped

    def text(self, hypothesis: Hypothesis) -> str:
        return self.tokenizer.target.decode(hypothesis.tokens)
