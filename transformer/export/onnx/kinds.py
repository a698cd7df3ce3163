"""What differs between the graphs of a text's model and those of a model of pairs.

Comparisons alone import onnxruntime: graphs are written without it, too.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from transformer.data.tokenizers.base import Tokenizer
from transformer.data.tokenizers.pairs import PairTokenizer, PieceTokenizer, Side
from transformer.export.onnx.decoder_graphs import bigram, gpt
from transformer.export.onnx.graph import Graph
from transformer.export.onnx.names import (
    DECODER,
    ENCODER,
    MODEL,
    SOURCE_TOKENIZER,
    TARGET_TOKENIZER,
    TOKENIZER,
)
from transformer.export.onnx.pair_graphs import decoder, encoder
from transformer.models.base import SequenceModel
from transformer.models.bigram import Bigram
from transformer.models.encoder_decoder import EncoderDecoder
from transformer.models.gpt import GPT
from transformer.special_ids import BEGIN, END, NUM_SPECIALS, PADDING
from transformer.storage.saved_model import SavedModel


class Kind(ABC):
    """`graphs` are the functions that make the graphs of a model, by the names of the files."""

    def __init__(self, graphs: Mapping[str, Callable[[Any], Graph]]) -> None:
        self.graphs = graphs

    @abstractmethod
    def about(self, saved: SavedModel) -> dict[str, Any]:
        """What a program that uses the graphs must know beside them."""

    @abstractmethod
    def tokenizers(self, saved: SavedModel) -> dict[str, str]:
        """The text of each tokenizer's file.

        Raises: UserError for a tokenizer that other programs do not know.
        """

    @abstractmethod
    def compare(self, saved: SavedModel, path: Path, program: str) -> str:
        """The figures of the comparison. Raises: UserError like `compare`."""


class TextKind(Kind):
    def about(self, saved: SavedModel) -> dict[str, Any]:
        assert isinstance(saved.tokenizer, Tokenizer)
        end = saved.tokenizer.end_of_text
        return {} if end is None else {"end_of_text": end}

    def tokenizers(self, saved: SavedModel) -> dict[str, str]:
        assert isinstance(saved.tokenizer, Tokenizer)
        return {TOKENIZER: _json(saved.tokenizer.spec)}

    def compare(self, saved: SavedModel, path: Path, program: str) -> str:
        from transformer.export.comparison import compare
        from transformer.export.onnx.reloaded import ReloadedGraph

        return compare(saved, ReloadedGraph(path), program).text


class PairKind(Kind):
    def about(self, saved: SavedModel) -> dict[str, Any]:
        return {"padding": PADDING, "begin": BEGIN, "end": END, "num_specials": NUM_SPECIALS}

    def tokenizers(self, saved: SavedModel) -> dict[str, str]:
        """Of the ids from num_specials on: the first is 0 there."""
        assert isinstance(saved.tokenizer, PairTokenizer)
        sides = {SOURCE_TOKENIZER: saved.tokenizer.source, TARGET_TOKENIZER: saved.tokenizer.target}
        return {name: _json(_side_spec(side)) for name, side in sides.items()}

    def compare(self, saved: SavedModel, path: Path, program: str) -> str:
        from transformer.export.onnx.pair_comparison import compare_pairs

        assert isinstance(saved.model, EncoderDecoder)
        return compare_pairs(saved.model, path, program)


def kind_of(model: SequenceModel) -> Kind:
    return _KINDS[type(model)]


def _side_spec(side: Side) -> dict[str, Any]:
    return side.bpe.spec if isinstance(side, PieceTokenizer) else side.state


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False)


_KINDS: dict[type[SequenceModel], Kind] = {
    Bigram: TextKind({MODEL: bigram}),
    GPT: TextKind({MODEL: gpt}),
    EncoderDecoder: PairKind({ENCODER: encoder, DECODER: decoder}),
}
