"""Attention and the blocks around it, with keys and values that go in and come out.

Queries are (B, G, H / G, T, D): the heads that share a key stand beside each other, as in
`transformer.models.parts.attention`, which explains the letters.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn

from transformer.export.onnx.caches import Attention, BlockCache, KeysValues
from transformer.export.onnx.graph import Graph, Value
from transformer.export.onnx.parts import rotate, write
from transformer.models.parts.attention import CrossAttention, MultiHeadAttention
from transformer.models.parts.layers import Block, DecoderBlock, ResidualPaths
from transformer.models.parts.positions import RotaryPositions
from transformer.special_ids import PADDING

_LOWEST = -3.4028234663852886e38  # of float32: infinity would make a row without keys NaN


class Reading(NamedTuple):
    """The positions of new tokens, and what they read: a bias of 0, and else the lowest number."""

    positions: Value  # (T,)
    bias: Value  # broadcast to (B, G, H / G, T, S)


def causal(graph: Graph, block_size: int, length: Value, past: Value) -> Reading:
    """For the `length` tokens that follow `past` earlier ones: each reads all up to itself.

    Both have the shape (1,). A run fails for positions from block_size on.
    """
    end = graph.op("Add", past, length)
    positions = _positions(graph, block_size, length, end)
    keys = graph.op("Range", 0, graph.op("Squeeze", end), 1)
    allowed = graph.op("LessOrEqual", keys, graph.op("Unsqueeze", positions, [1]))
    return Reading(positions, _bias(graph, allowed))


def of_source(graph: Graph, block_size: int, source: Value) -> Reading:
    """Every position of a source reads all places but the padding."""
    length = graph.op("Shape", source, start=1, end=2)
    return Reading(_positions(graph, block_size, length, length), source_bias(graph, source))


def source_bias(graph: Graph, source: Value) -> Value:
    shown = graph.op("Not", graph.op("Equal", source, PADDING))
    return graph.op("Unsqueeze", _bias(graph, shown), [1, 2, 3])


def _positions(graph: Graph, block_size: int, length: Value, end: Value) -> Value:
    """The last `length` positions before `end`.

    Counted from the end: onnxruntime makes a Slice of a Gather whose places are a plain Range, and
    a Slice takes fewer rows where a Gather fails.
    """
    from_end = graph.op("Range", graph.op("Squeeze", length), 0, -1)
    return graph.op("Gather", torch.arange(block_size), graph.op("Sub", end, from_end))


def _bias(graph: Graph, allowed: Value) -> Value:
    return graph.op("Where", allowed, 0.0, _LOWEST)


def block(
    graph: Graph, module: Block, x: Value, reading: Reading, cache: BlockCache | None
) -> Value:
    def attend(x: Value) -> Value:
        return _self_attention(graph, module.attention, x, reading, cache)

    x = _add(graph, module, x, module.attention_norm, attend)
    return _feed(graph, module, x)


def decoder_block(
    graph: Graph,
    module: DecoderBlock,
    x: Value,
    reading: Reading,
    cache: BlockCache,
    memory: KeysValues,
    memory_bias: Value,
) -> Value:
    def attend(x: Value) -> Value:
        return _self_attention(graph, module.attention, x, reading, cache)

    def attend_to_memory(x: Value) -> Value:
        part = module.cross_attention
        q = write(graph, part.query_norm, _queries(graph, part, write(graph, part.query, x)))
        return _joined_heads(graph, part, q, memory, memory_bias)

    x = _add(graph, module, x, module.attention_norm, attend)
    x = _add(graph, module, x, module.cross_attention_norm, attend_to_memory)
    return _feed(graph, module, x)


def memory_keys_values(graph: Graph, module: CrossAttention, memory: Value) -> KeysValues:
    both = write(graph, module.key_value, memory)
    k, v = graph.ops("Split", 2, both, axis=-1, num_outputs=2)
    return write(graph, module.key_norm, _keys(graph, module, k)), _keys(graph, module, v)


def _feed(graph: Graph, module: Block | DecoderBlock, x: Value) -> Value:
    def feed(x: Value) -> Value:
        return write(graph, module.feedforward, x)

    return _add(graph, module, x, module.feedforward_norm, feed)


def _add(
    graph: Graph, paths: ResidualPaths, x: Value, norm: nn.Module, part: Callable[[Value], Value]
) -> Value:
    if paths.norm_first:
        return graph.op("Add", x, part(write(graph, norm, x)))
    return write(graph, norm, graph.op("Add", x, part(x)))


def _self_attention(
    graph: Graph, module: MultiHeadAttention, x: Value, reading: Reading, cache: BlockCache | None
) -> Value:
    sizes = list(module.qkv.part_sizes)
    q, k, v = graph.ops("Split", 3, write(graph, module.qkv, x), sizes, axis=-1)
    q = write(graph, module.query_norm, _queries(graph, module, q))
    k = write(graph, module.key_norm, _keys(graph, module, k))
    if isinstance(module.rotate, RotaryPositions):
        q, k = (rotate(graph, module.rotate, x, reading.positions) for x in (q, k))
    pair = k, _keys(graph, module, v)
    if cache is not None:
        pair = cache.append(*pair)
    return _joined_heads(graph, module, q, pair, reading.bias)


def _queries(graph: Graph, module: Attention, q: Value) -> Value:
    groups = module.num_kv_heads
    q = graph.op("Reshape", q, [0, 0, groups, module.num_heads // groups, module.head_dim])
    return graph.op("Transpose", q, perm=[0, 2, 3, 1, 4])  # (B, G, H / G, T, D)


def _keys(graph: Graph, module: Attention, k: Value) -> Value:
    k = graph.op("Reshape", k, [0, 0, module.num_kv_heads, module.head_dim])
    return graph.op("Transpose", k, perm=[0, 2, 1, 3])  # (B, G, S, D)


def _joined_heads(
    graph: Graph, module: Attention, q: Value, keys_values: KeysValues, bias: Value
) -> Value:
    k, v = (graph.op("Unsqueeze", x, [2]) for x in keys_values)  # (B, G, 1, S, D)
    k = graph.op("Transpose", k, perm=[0, 1, 2, 4, 3])
    scores = graph.op("MatMul", graph.op("Mul", q, module.head_dim**-0.5), k)
    weights = graph.op("Softmax", graph.op("Add", scores, bias), axis=-1)
    heads = graph.op("Transpose", graph.op("MatMul", weights, v), perm=[0, 3, 1, 2, 4])
    joined = graph.op("Reshape", heads, [0, 0, module.num_heads * module.head_dim])
    return write(graph, module.output, joined)
