"""What a caller hands from one run of a graph to the next: inputs `past.*`, outputs `present.*`.

A text begins with pasts of length 0. The next run takes each present as the past of its name.
"""

import torch

from transformer.export.onnx.graph import Graph, Value
from transformer.export.onnx.parts import TO_THE_END, cut
from transformer.models.parts.attention import CrossAttention, MultiHeadAttention

Attention = MultiHeadAttention | CrossAttention
KeysValues = tuple[Value, Value]  # (B, G, S, D)
_SIDES = ("key", "value")


class BlockCache:
    """Keys and values of one block's self-attention."""

    def __init__(self, graph: Graph, number: int, module: MultiHeadAttention) -> None:
        self._graph = graph
        self._number = number
        self._module = module
        self.past = keys_values_input(graph, f"past.{number}", "past", module)

    def append(self, key: Value, value: Value) -> KeysValues:
        new = zip(self.past, (key, value), strict=True)
        k, v = (self._graph.op("Concat", *pair, axis=2) for pair in new)
        self.present = k, v
        return self.present

    def declare(self) -> None:
        """The outputs, after the logits."""
        name = f"present.{self._number}"
        keys_values_output(self._graph, name, self.present, "past + length", self._module)


def keys_values_input(graph: Graph, name: str, length: str, module: Attention) -> KeysValues:
    shape = ("batch", module.num_kv_heads, length, module.head_dim)
    k, v = (graph.input(f"{name}.{side}", torch.float32, shape) for side in _SIDES)
    return k, v


def keys_values_output(
    graph: Graph, name: str, values: KeysValues, length: str, module: Attention
) -> None:
    shape = ("batch", module.num_kv_heads, length, module.head_dim)
    for side, value in zip(_SIDES, values, strict=True):
        graph.output(f"{name}.{side}", value, torch.float32, shape)


class TokensBefore:
    """Up to `number` earlier tokens, on which the embeddings of new tokens depend."""

    def __init__(self, graph: Graph, number: int, tokens: Value) -> None:
        self._graph = graph
        past = graph.input("past.tokens", torch.int64, ("batch", "past tokens"))
        self.tokens = graph.op("Concat", past, tokens, axis=1)
        self._length = graph.op("Shape", past, start=1, end=2)
        self._present = cut(graph, self.tokens, [-number], [TO_THE_END], axis=1)

    def without(self, x: Value) -> Value:
        """x (B, _, C) without the places of the earlier tokens."""
        return cut(self._graph, x, self._length, [TO_THE_END], axis=1)

    def declare(self) -> None:
        self._graph.output("present.tokens", self._present, torch.int64, ("batch", "kept tokens"))


class NoTokensBefore(TokensBefore):
    """For models whose embeddings depend on one token each."""

    def __init__(self, tokens: Value) -> None:
        self.tokens = tokens

    def without(self, x: Value) -> Value:
        return x

    def declare(self) -> None:
        pass


def tokens_before(graph: Graph, number: int, tokens: Value) -> TokensBefore:
    return TokensBefore(graph, number, tokens) if number else NoTokensBefore(tokens)
