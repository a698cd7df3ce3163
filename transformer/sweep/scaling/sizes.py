"""Models of one recipe in several sizes: their shapes, weights, tokens and compute. No torch."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from transformer.config.keys import Config
from transformer.sweep.plan import Plan

NUM_SIZES = 5
RATIO = math.sqrt(3)  # of the weights of two sizes next to each other: five span nine times
BEYOND = 4.0  # the predicted model has so many times the weights of the largest size
# Near the best use of compute: Hoffmann et al. 2022 (arXiv:2203.15556), table 3.
TOKENS_PER_WEIGHT = 20.0
# The batch above which a larger one no longer saves steps, by tokens: Zhang et al. 2024
# (arXiv:2410.21676). The best learning rate, by compute: Bi et al. 2024 (arXiv:2401.02954), 3.1.
BATCH_POWER, LR_POWER = 0.5, -0.125
LR_DIGITS = 3
# Widths are multiples of it, so that products are fast; narrow ones, too, are told apart.
WIDTH_STEP, NARROW, NARROW_STEP = 8, 48, 4
# With fewer blocks, the loss no longer follows the number of weights: Kaplan et al. 2020, 3.2.
LEAST_BLOCKS = 2
LEAST_HEADS = 2  # with one head, an attention cannot look at two places at a time
# Of the two ways in which a shape can differ from what is asked for: in its weights, and in its
# quotient of width and depth. The fit knows the weights, so they may differ more.
WEIGHTS_COUNT, ASPECT_COUNTS = 1.0, 0.25


@dataclass(frozen=True)
class Size:
    """A model's shape as config keys, and its training.

    `weights` are the numbers in the matrices of the blocks, N in Kaplan et al. 2020
    (arXiv:2001.08361): without embeddings, head, norms and biases. `flops_per_token` are those of a
    training step. `keys` also has its batch and learning
    rate.
    """

    keys: Mapping[str, Any]
    weights: int
    flops_per_token: float
    max_steps: int
    tokens: int

    @property
    def compute(self) -> float:
        """FLOPs of the whole training."""
        return self.tokens * self.flops_per_token

    @property
    def name(self) -> str:
        """Such as `64x2`: width and blocks."""
        return f"{self.keys['embedding_dim']}x{self.keys['num_blocks']}"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def sizes_of(plan: Plan) -> list[Size]:
    """The sizes that a scaling law trains."""
    return [Size(**each) for each in plan.measured["sizes"]]


def tokens_per_step(config: Config) -> int:
    return config.batch_size * config.accumulate_grad_batches * config.block_size


def sized(config: Config, weights: float, vocab_size: int, reference: Size | None = None) -> Size:
    """The config with about so many weights, trained on TOKENS_PER_WEIGHT tokens for each.

    Width and depth grow together: their quotient stays near that of the config, as in Kaplan et al.
    2020, where the shape matters little in wide bounds. Heads have about the config's width.

    The config's batch and learning rate are for the `reference`, by default this run. For a run of
    other tokens and compute they change by BATCH_POWER and LR_POWER: with one batch for all sizes,
    the smallest would have too few steps.
    """
    keys = min(_shapes(config, weights), key=lambda keys: _distance(config, keys, weights))
    shape = config.model_copy(update=keys)
    found, flops = num_weights(shape), flops_per_token(shape, vocab_size)
    tokens = TOKENS_PER_WEIGHT * found
    if reference is not None:
        batch_size = config.batch_size * (tokens / reference.tokens) ** BATCH_POWER
        keys["batch_size"] = max(1, round(batch_size))
        lr = config.lr * (tokens * flops / reference.compute) ** LR_POWER
        keys["lr"] = float(f"{lr:.{LR_DIGITS}g}")
    each_step = tokens_per_step(config.model_copy(update=keys))
    steps = math.ceil(tokens / each_step)
    return Size(keys, found, flops, steps, steps * each_step)


def series(config: Config, largest: float, vocab_size: int) -> list[Size]:
    """NUM_SIZES sizes up to about `largest` weights, the smallest first, then the predicted one.

    The predicted one has the config's batch and learning rate.
    """
    asked = [largest * RATIO**-n for n in reversed(range(NUM_SIZES))]
    last = sized(config, BEYOND * sized(config, largest, vocab_size).weights, vocab_size)
    return [*(sized(config, weights, vocab_size, last) for weights in asked), last]


def num_weights(config: Config) -> int:
    """In the matrices of the blocks of a GPT, by a closed formula."""
    settings: Any = config.family_settings()
    width, head_dim = settings.embedding_dim, settings.head_dim
    attention = 2 * width * head_dim * (settings.num_heads + settings.num_kv_heads)
    matrices = 3 if settings.activation == "swiglu" else 2
    return settings.num_blocks * (attention + matrices * width * settings.feedforward_dim)


def flops_per_token(config: Config, vocab_size: int) -> float:
    """6 for each weight of blocks and head, and those of attention.

    Chowdhery et al. 2022 (arXiv:2204.02311), appendix B: 6 N + 12 L H Q T. The head counts, as it
    is a large part of a small model; embeddings are looked up, so they do not.
    """
    settings: Any = config.family_settings()
    attention = settings.num_blocks * settings.num_heads * settings.head_dim * config.block_size
    head = vocab_size * settings.embedding_dim
    return 6.0 * (num_weights(config) + head) + 12.0 * attention


def _shapes(config: Config, weights: float) -> Iterator[dict[str, Any]]:
    """For each depth that may fit, the width whose weights come nearest."""
    least = min(LEAST_BLOCKS, config.num_blocks)
    for num_blocks in range(least, max(least, 2 * config.num_blocks) + 1):
        own = num_weights(config.model_copy(update={"num_blocks": num_blocks}))
        width = config.embedding_dim * math.sqrt(weights / own)
        step = WIDTH_STEP if width > NARROW else NARROW_STEP
        for multiple in {math.floor(width / step), math.ceil(width / step)}:
            yield _keys(config, step * max(1, multiple), num_blocks)


def _keys(config: Config, width: int, num_blocks: int) -> dict[str, Any]:
    """The keys of a shape; those that the config leaves to their defaults stay so."""
    given, share = config.resolved(), width / config.embedding_dim
    keys: dict[str, Any] = {"embedding_dim": width}
    keys["num_heads"] = num_heads = _num_heads(width, config)
    keys["num_blocks"] = num_blocks
    if isinstance(given["feedforward_dim"], int):
        multiple = round(share * given["feedforward_dim"] / NARROW_STEP)
        keys["feedforward_dim"] = NARROW_STEP * max(1, multiple)
    if isinstance(given["num_kv_heads"], int):
        most = max(1, round(given["num_kv_heads"] / config.num_heads * num_heads))
        keys["num_kv_heads"] = max(n for n in range(1, most + 1) if num_heads % n == 0)
    return keys


def _num_heads(width: int, config: Config) -> int:
    """The number of heads whose width is even and nearest to that of the config."""
    head_dim = config.embedding_dim / config.num_heads
    least = min(LEAST_HEADS, config.num_heads)
    numbers = [n for n in range(least, width // 2 + 1) if width % (2 * n) == 0]
    return min(numbers, key=lambda n: abs(math.log(width / n / head_dim)), default=1)


def _distance(config: Config, keys: Mapping[str, Any], weights: float) -> float:
    """From the asked number of weights, and from the config's quotient of width and depth."""
    found = num_weights(config.model_copy(update=dict(keys)))
    aspect = config.embedding_dim / config.num_blocks
    own_aspect = keys["embedding_dim"] / keys["num_blocks"]
    return WEIGHTS_COUNT * abs(math.log(found / weights)) + ASPECT_COUNTS * abs(
        math.log(own_aspect / aspect)
    )
