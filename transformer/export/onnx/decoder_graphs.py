"""The graphs of models of texts, and what other decoders share with them.

`docs/export.md` tells their inputs and outputs.
"""

from typing import Any

import torch

from transformer.export.onnx.attention import Reading, block, causal
from transformer.export.onnx.caches import BlockCache, TokensBefore, tokens_before
from transformer.export.onnx.graph import Graph, Value
from transformer.export.onnx.parts import add_positions, write
from transformer.models.bigram import Bigram
from transformer.models.encoder_decoder import EncoderDecoder
from transformer.models.gpt import GPT

TOKENS = ("batch", "length")


def bigram(model: Bigram) -> Graph:
    graph = Graph(model)
    tokens = graph.input("tokens", torch.int64, TOKENS)
    shape = (*TOKENS, model.settings.vocab_size)
    graph.output("logits", write(graph, model.next_token, tokens), torch.float32, shape)
    return graph


def gpt(model: GPT) -> Graph:
    graph = Graph(model)
    tokens = graph.input("tokens", torch.int64, TOKENS)
    before = tokens_before(graph, model.num_tokens_before, tokens)
    blocks: list[Any] = list(model.blocks)
    caches = make_caches(graph, blocks)
    reading = reading_after(graph, model.block_size, tokens, caches)
    x = write(graph, model.token_shift, write(graph, model.token_embedding, before.tokens))
    x = add_positions(graph, model.position_embedding, before.without(x), reading.positions)
    for part, cache in zip(blocks, caches, strict=True):
        x = block(graph, part, x, reading, cache)
    declare_logits(graph, model, x)
    declare_presents(before, caches)
    return graph


def make_caches(graph: Graph, blocks: list[Any]) -> list[BlockCache]:
    return [BlockCache(graph, number, part.attention) for number, part in enumerate(blocks)]


def reading_after(
    graph: Graph, block_size: int, tokens: Value, caches: list[BlockCache]
) -> Reading:
    past = graph.op("Shape", caches[0].past[0], start=2, end=3)
    return causal(graph, block_size, graph.op("Shape", tokens, start=1, end=2), past)


def declare_logits(graph: Graph, model: GPT | EncoderDecoder, x: Value) -> None:
    x = write(graph, model.lm_head, write(graph, model.final_norm, x))
    graph.output("logits", x, torch.float32, (*TOKENS, model.settings.vocab_size))


def declare_presents(before: TokensBefore, caches: list[BlockCache]) -> None:
    before.declare()
    for cache in caches:
        cache.declare()
