"""The parts of models that compute one value from one: a table from the class of a module."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from transformer.export.onnx.graph import Graph, Value
from transformer.models.parts.attention import FusedLinear
from transformer.models.parts.embeddings import MULTIPLIER, NgramEmbedding, TokenShift, wrapped
from transformer.models.parts.layers import ACTIVATIONS, FeedForward, GatedFeedForward
from transformer.models.parts.norms import RMSNorm
from transformer.models.parts.positions import (
    LearnedPositions,
    NoPositions,
    RotaryPositions,
    ScaledSinusoidalPositions,
    SinusoidalPositions,
)

TO_THE_END = 2**62  # of a Slice
_HIGH = 2**32


def write(graph: Graph, module: nn.Module, x: Value) -> Value:
    """What the module computes from x in eval mode."""
    return _WRITERS[type(module)](graph, module, x)


def cut(graph: Graph, x: Value, start: Any, end: Any, axis: int) -> Value:
    """x from `start` to `end` on one axis: each is a list of one number, or a value like it."""
    return graph.op("Slice", x, start, end, [axis])


def _linear(graph: Graph, module: nn.Linear, x: Value) -> Value:
    product = graph.op("MatMul", x, graph.transposed(module.weight))
    return product if module.bias is None else graph.op("Add", product, module.bias)


def _layer_norm(graph: Graph, module: nn.LayerNorm, x: Value) -> Value:
    given = (module.weight,) if module.bias is None else (module.weight, module.bias)
    return graph.op("LayerNormalization", x, *given, axis=-1, epsilon=module.eps)


def _rms_norm(graph: Graph, module: RMSNorm, x: Value) -> Value:
    mean = graph.op("ReduceMean", graph.op("Pow", x, 2.0), [-1], keepdims=1)
    root = graph.op("Sqrt", graph.op("Add", mean, float(module.eps or 0)))
    return graph.op("Mul", graph.op("Div", x, root), module.weight)


def _feedforward(graph: Graph, module: FeedForward, x: Value) -> Value:
    hidden = _ACTIVATIONS[module.activation](graph, write(graph, module.input, x))
    return write(graph, module.output, hidden)


def _gated(graph: Graph, module: GatedFeedForward, x: Value) -> Value:
    both = write(graph, module.input, x)
    gate, value = graph.ops("Split", 2, both, axis=-1, num_outputs=2)
    silu = graph.op("Mul", gate, graph.op("Sigmoid", gate))
    return write(graph, module.output, graph.op("Mul", silu, value))


def _relu_squared(graph: Graph, x: Value) -> Value:
    positive = graph.op("Relu", x)
    return graph.op("Mul", positive, positive)


def _embedding(graph: Graph, module: NgramEmbedding, tokens: Value) -> Value:
    """As `NgramEmbedding`: products of int64 overflow here too, as they do in onnxruntime."""
    x = graph.op("Gather", module.weight, tokens)
    most = len(module.ngram_tables)
    padded = graph.op("Pad", tokens, [0, most, 0, 0]) if most else tokens
    ngrams = tokens
    for back, table in enumerate(module.ngram_tables, start=1):
        earlier = cut(graph, padded, [most - back], [-back], axis=1)
        factor = wrapped(module.base**back)
        ngrams = graph.op("Add", ngrams, graph.op("Mul", earlier, factor))
        rows = ngrams
        if module.base ** (back + 1) > len(table):
            product = graph.op("Mul", ngrams, MULTIPLIER)
            low = graph.op("Mod", product, _HIGH)  # not negative
            rows = graph.op("Div", graph.op("Sub", product, low), _HIGH)  # shifted by 32 bits
        if rows != ngrams or module.base != module.num_embeddings:
            rows = graph.op("Mod", rows, len(table))
        x = graph.op("Add", x, graph.op("Gather", table, rows))
    return x


def _token_shift(graph: Graph, module: TokenShift, x: Value) -> Value:
    moved = cut(graph, graph.op("Pad", x, [0, 1, 0, 0, 0, 0]), [0], [-1], axis=1)
    return graph.op("Add", x, graph.op("Mul", moved, module.weight))


def add_positions(graph: Graph, module: nn.Module, x: Value, positions: Value) -> Value:
    table = _POSITION_TABLES[type(module)](module)
    return x if table is None else graph.op("Add", x, graph.op("Gather", table, positions))


def rotate(graph: Graph, module: RotaryPositions, x: Value, positions: Value) -> Value:
    cos, sin = (graph.op("Gather", table, positions) for table in (module.cos, module.sin))
    first, second = graph.ops("Split", 2, x, axis=-1, num_outputs=2)
    turned = (
        graph.op("Sub", graph.op("Mul", first, cos), graph.op("Mul", second, sin)),
        graph.op("Add", graph.op("Mul", second, cos), graph.op("Mul", first, sin)),
    )
    return graph.op("Concat", *turned, axis=-1)


_ACTIVATIONS: dict[Any, Callable[[Graph, Value], Value]] = {
    ACTIVATIONS["gelu"]: lambda graph, x: graph.op("Gelu", x),
    ACTIVATIONS["gelu_tanh"]: lambda graph, x: graph.op("Gelu", x, approximate="tanh"),
    ACTIVATIONS["relu"]: lambda graph, x: graph.op("Relu", x),
    ACTIVATIONS["relu2"]: _relu_squared,
}
_WRITERS: dict[type[nn.Module], Callable[..., Value]] = {
    nn.Linear: _linear,
    FusedLinear: _linear,
    nn.LayerNorm: _layer_norm,
    RMSNorm: _rms_norm,
    nn.Identity: lambda _, __, x: x,
    FeedForward: _feedforward,
    GatedFeedForward: _gated,
    nn.Embedding: lambda graph, module, tokens: graph.op("Gather", module.weight, tokens),
    NgramEmbedding: _embedding,
    TokenShift: _token_shift,
}
_POSITION_TABLES: dict[type[nn.Module], Callable[..., torch.Tensor | None]] = {
    NoPositions: lambda _: None,
    LearnedPositions: lambda module: module.weight,
    SinusoidalPositions: lambda module: module.table,
    ScaledSinusoidalPositions: lambda module: module.gain * module.table,
}
