"""Number formats for the weights of a trained model when it generates text.

The weights are trained in float32. bf16 halves the bytes read for each token, int8 halves them
again. Which format is faster depends on the processor, the model and the number of rows.
"""

import math
from collections.abc import Mapping
from functools import cache
from typing import Any

import torch
from torch import nn

from transformer.decoding.loop import advance
from transformer.decoding.sampling import Sampler
from transformer.generation.int8_linear import (
    INT8_STRIDE,
    WIDE_FORMATS,
    Int8Linear,
    Products,
)
from transformer.models import build_model
from transformer.models.base import SequenceModel, TokenModel
from transformer.models.families.base import TransformerSettings
from transformer.models.parts.attention import ATTENTIONS, use_attention_in_steps
from transformer.system.cache import cache_folder
from transformer.system.devices import has_bf16, resolve_accelerator
from transformer.system.errors import UserError
from transformer.system.speed import Candidate, Choice, fastest, seconds_of

FORMATS = ("float32", "bf16", "int8")
MEASURED_ROWS = (1, 8, 16, 64)
REPEATS = (1, 4)  # steps or products that are timed as one
MOST_TOKENS_BEFORE = 128  # in the measured steps
# A core may keep smaller weights in a cache of its own, where a whole model has no room.
CACHED_BYTES = 32e6
BLOCK_LAYERS = 3  # of as many weights as the first feed-forward layer
NO_PRODUCTS = Products(0, "float32")  # of a model without int8 layers


def fastest_format(
    device: torch.device | str,
    architecture: Mapping[str, Any],
    num_rows: int = 1,
    cache_dir: str | None = None,
) -> Choice:
    """The number format in which a model of this architecture writes num_rows texts fastest.

    On a CPU, steps of a model with some of its blocks are timed in each format, for about as many
    rows, and the answer is kept in `cache_dir`, by default the user's cache folder. On a GPU it is
    bf16 if the hardware multiplies it.
    """
    kind = torch.device(device).type
    if kind != "cpu":
        return Choice("bf16" if has_bf16(kind) else "float32")
    if not {"num_heads", "num_blocks"} <= architecture.keys():  # no transformer
        return Choice("float32")
    shape, rows = some_blocks(architecture), measured_rows(num_rows)
    products = fastest_products(architecture, cache_dir)
    # Of more rows, int8 layers are in the other format, with rounded weights.
    formats = FORMATS if rows <= products.most_int8_rows else ("float32", "bf16")
    candidates = {name: decoding_steps(shape, rows, name, products) for name in formats}
    facts = ", ".join(f"{name} {value}" for name, value in shape.items())
    question = f"writing and sampling, {rows} rows, {facts}"
    return fastest(timed(question, candidates, cache_dir), "float32")


def timed(
    question: str, candidates: Mapping[str, Candidate], cache_dir: str | None
) -> dict[str, float]:
    seconds = seconds_of(question, candidates, cache_folder(cache_dir), REPEATS)
    assert seconds is not None  # only processes that share an answer get none
    return seconds


def measured_rows(num_rows: int) -> int:
    """The nearest of MEASURED_ROWS, by ratio."""
    num_rows = max(1, num_rows)
    return min(MEASURED_ROWS, key=lambda rows: max(rows / num_rows, num_rows / rows))


def some_blocks(architecture: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a GPT with some blocks of this architecture, enough for CACHED_BYTES.

    They have their share of the output head. Tokens before are up to half of the block_size.
    """
    names = [name for name in TransformerSettings.field_names() if name in architecture]
    before = min(architecture["block_size"] // 2, MOST_TOKENS_BEFORE)
    all_blocks = architecture["num_blocks"]
    layer_bytes = 4 * architecture["embedding_dim"] * architecture["feedforward_dim"]
    num_blocks = min(all_blocks, num_uncached(BLOCK_LAYERS * layer_bytes))
    changes = {
        "vocab_size": max(1, architecture["vocab_size"] * num_blocks // all_blocks),
        "block_size": before + max(REPEATS),
        "num_blocks": num_blocks,
        "dropout": 0.0,
        "ngram_size": 1,
        "ngram_buckets": 1,
    }
    return {name: architecture[name] for name in names} | changes


def num_uncached(part_bytes: int) -> int:
    """How many parts of this size no core keeps in a cache of its own."""
    return math.ceil(CACHED_BYTES / part_bytes)


def fastest_attention(
    architecture: Mapping[str, Any],
    num_rows: int,
    number_format: str,
    cache_dir: str | None = None,
) -> str:
    """The attention with which steps for num_rows rows are faster on this CPU; as above."""
    shape, rows = some_blocks(architecture), measured_rows(num_rows)
    products = fastest_products(architecture, cache_dir) if number_format == "int8" else NO_PRODUCTS
    candidates = {
        name: decoding_steps(shape, rows, number_format, products, name) for name in ATTENTIONS
    }
    facts = ", ".join(f"{name} {value}" for name, value in shape.items())
    question = f"writing and sampling in {number_format}, attention, {rows} rows, {facts}"
    return fastest(timed(question, candidates, cache_dir), "fused").name


def decoding_steps(
    shape: Mapping[str, Any],
    num_rows: int,
    number_format: str,
    products: Products,
    attention: str = "fused",
) -> Candidate:
    """Decodes one token for each row, repeatedly, with random weights that are drawn when used.

    A token is sampled as well, as that takes room in a core's caches, too.
    """

    @cache
    def made() -> tuple[TokenModel, Any, Sampler]:
        with torch.random.fork_rng(devices=[]):
            model = build_model("gpt", **shape)
        assert isinstance(model, TokenModel)
        convert(model.eval(), number_format, products=products)
        use_attention_in_steps(model, attention)
        return model, model.make_cache(num_rows), Sampler()

    @torch.inference_mode()
    def work(num_steps: int) -> None:
        model, cache_of_rows, sampler = made()
        cache_of_rows.lengths = [model.block_size - max(REPEATS)] * num_rows
        tokens = torch.zeros(num_rows, dtype=torch.long)
        for _ in range(num_steps):
            tokens = sampler(advance(model, cache_of_rows, tokens).float())

    return work


def fastest_products(architecture: Mapping[str, Any], cache_dir: str | None = None) -> Products:
    """How the layers of this architecture multiply faster here, by its first feed-forward layer.

    `other` is the faster of float32 and bf16 for the most rows that are measured.
    """
    width, feedforward_dim = architecture["embedding_dim"], architecture["feedforward_dim"]
    num_inputs = -(-width // INT8_STRIDE) * INT8_STRIDE
    num_layers = num_uncached(4 * num_inputs * feedforward_dim)
    num_layers = min(num_layers, BLOCK_LAYERS * architecture["num_blocks"])
    seconds = {}
    for rows in MEASURED_ROWS:
        candidates = {
            name: layer_products(num_inputs, feedforward_dim, num_layers, rows, name)
            for name in FORMATS
        }
        question = f"products, {rows} rows, {num_layers} of {num_inputs} to {feedforward_dim}"
        seconds[rows] = timed(question, candidates, cache_dir)
    other = min(WIDE_FORMATS, key=lambda name: seconds[MEASURED_ROWS[-1]][name])
    in_int8 = [rows for rows in MEASURED_ROWS if seconds[rows]["int8"] < seconds[rows][other]]
    return Products(max(in_int8, default=0), other)


def layer_products(
    num_inputs: int, num_outputs: int, num_layers: int, num_rows: int, number_format: str
) -> Candidate:
    """The product of each of some int8 layers, in int8 or in the other format that they keep."""
    in_int8 = number_format == "int8"
    products = Products(num_rows, "bf16") if in_int8 else Products(0, number_format)

    @cache
    def made() -> list[Int8Linear]:
        with torch.random.fork_rng(devices=[]):
            linear = nn.Linear(num_inputs, num_outputs)
            return [Int8Linear(linear, products) for _ in range(num_layers)]

    @torch.inference_mode()
    def work(repeats: int) -> None:
        layers = made()
        x = torch.ones(num_rows, num_inputs, dtype=torch.bfloat16)
        for layer in layers * repeats:
            layer(x)

    return work


def prepare(
    model: SequenceModel,
    device: str,
    precision: str,
    *,
    num_rows: int = 1,
    cache_dir: str | None = None,
) -> Choice:
    """Moves a model to a device and changes the format of its weights; returns this format.

    auto is the fastest one for num_rows rows: see `fastest_format`. Only auto also measures the
    attention of steps. A given float32 or bf16 measures nothing; int8 measures its products.

    Raises: UserError for a device that is not available, and for int8 on a device other than a CPU.
    """
    device = resolve_accelerator(device)
    if precision == "int8" and device != "cpu":
        raise UserError(
            f"precision int8 needs a CPU, but the device is {device}: give `precision=bf16`"
        )
    chosen, measures = Choice(precision), precision == "auto"
    if measures:
        chosen = fastest_format(device, model.architecture, num_rows, cache_dir)
    model.to(device)
    if chosen.name != "float32":
        convert(model, chosen.name, cache_dir)
    measures = measures and device == "cpu" and num_rows > 1  # one row is read once by any kernel
    if measures and isinstance(model, TokenModel) and model.has_attention:
        name = fastest_attention(model.architecture, num_rows, chosen.name, cache_dir)
        use_attention_in_steps(model, name)
    return chosen


def convert(
    model: SequenceModel,
    number_format: str,
    cache_dir: str | None = None,
    *,
    products: Products | None = None,
) -> None:
    """Changes the format of the weights in place; the model can no longer be trained.

    With int8, a layer that the kernel cannot compute becomes bf16. By default, `products` is the
    answer of `fastest_products`.

    Raises: ValueError for an unknown format, and for int8 if the model is not on a CPU.
    """
    if number_format not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}, got {number_format!r}")
    model.requires_grad_(False)
    layers = []
    if number_format == "int8":
        if next(model.parameters()).device.type != "cpu":
            raise ValueError("int8 weights need a CPU: give bf16 or float32")
        layers = [
            (module, name, child)
            for module in model.modules()
            for name, child in module.named_children()
            if isinstance(child, nn.Linear) and child.in_features % INT8_STRIDE == 0
        ]
    if layers:
        products = products or fastest_products(model.architecture, cache_dir)
        layers = [(module, name, Int8Linear(child, products)) for module, name, child in layers]
    model.to(torch.float32 if number_format == "float32" else torch.bfloat16)
    for module, name, layer in layers:  # now, as their formats differ from the model's
        setattr(module, name, layer)
