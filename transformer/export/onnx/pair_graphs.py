"""The graphs of encoder-decoders: one of the encoder, and one of the decoder."""

from typing import Any

import torch

from transformer.export.onnx.attention import (
    block,
    decoder_block,
    memory_keys_values,
    of_source,
    source_bias,
)
from transformer.export.onnx.caches import keys_values_input, keys_values_output, tokens_before
from transformer.export.onnx.decoder_graphs import (
    TOKENS,
    declare_logits,
    declare_presents,
    make_caches,
    reading_after,
)
from transformer.export.onnx.graph import Graph
from transformer.export.onnx.parts import add_positions, write
from transformer.models.encoder_decoder import EncoderDecoder

SOURCE = ("batch", "source length")


def encoder(model: EncoderDecoder) -> Graph:
    """The keys and values of the memory, of each decoder block: all that a decoder reads of it."""
    graph = Graph(model)
    source = graph.input("source", torch.int64, SOURCE)
    reading = of_source(graph, model.block_size, source)
    x = write(graph, model.source_embedding, source)
    x = graph.op("Mul", x, model.embedding_scale)
    x = add_positions(graph, model.source_positions, x, reading.positions)
    encoder_blocks: list[Any] = list(model.encoder_blocks)
    for part in encoder_blocks:
        x = block(graph, part, x, reading, None)
    memory = write(graph, model.encoder_norm, x)
    decoder_blocks: list[Any] = list(model.decoder_blocks)
    for number, part in enumerate(decoder_blocks):
        module = part.cross_attention
        found = memory_keys_values(graph, module, memory)
        keys_values_output(graph, f"memory.{number}", found, SOURCE[1], module)
    return graph


def decoder(model: EncoderDecoder) -> Graph:
    graph = Graph(model)
    tokens = graph.input("tokens", torch.int64, TOKENS)
    bias = source_bias(graph, graph.input("source", torch.int64, SOURCE))
    blocks: list[Any] = list(model.decoder_blocks)
    memory = [
        keys_values_input(graph, f"memory.{number}", SOURCE[1], part.cross_attention)
        for number, part in enumerate(blocks)
    ]
    before = tokens_before(graph, model.num_tokens_before, tokens)
    caches = make_caches(graph, blocks)
    reading = reading_after(graph, model.block_size + 1, tokens, caches)
    x = write(graph, model.token_embedding, before.tokens)
    x = before.without(graph.op("Mul", x, model.embedding_scale))
    x = add_positions(graph, model.position_embedding, x, reading.positions)
    for part, cache, kept in zip(blocks, caches, memory, strict=True):
        x = decoder_block(graph, part, x, reading, cache, kept, bias)
    declare_logits(graph, model, x)
    declare_presents(before, caches)
    return graph
