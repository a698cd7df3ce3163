"""Chooses the sizes of a scaling law by the time that their steps take on this machine."""

import heapq
import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from transformer.config.keys import Config
from transformer.run import assembly
from transformer.run.planning.steps import seconds_of_a_step
from transformer.run.settling import settle
from transformer.sweep.scaling.sizes import (
    NUM_SIZES,
    RATIO,
    TOKENS_PER_WEIGHT,
    Size,
    num_weights,
    series,
    tokens_per_step,
)
from transformer.system.cores import available_cores
from transformer.system.errors import UserError
from transformer.system.terminal import quiet_libraries, quietly
from transformer.tasks.registry import task_of
from transformer.training.estimates import PASSES_PER_TRAINING_STEP, START_SECONDS
from transformer.training.validations import VALIDATION_SHARE

LEAST_STEPS = 50  # of the smallest size: with fewer, a schedule says little of a longer one
FINER = RATIO**0.25  # between two tried values of the largest size
LEAST_WEIGHTS = 1e3  # of the smallest size


def measured(
    config: Config, minutes: float | None, *, processes: int = 1, seeds: int = 1
) -> dict[str, Any]:
    """The sizes of a scaling law, for `Plan.measured`: plain values.

    With `minutes`, the largest size is the largest for which all five end in that time. Without,
    it is the one that the config's max_steps are right for; without those too, it is the config's
    own.

    Raises: UserError if the minutes or steps are too few, and for what a run refuses.
    """
    quiet_libraries()
    if processes > 1 and config.num_threads == "auto":  # they share the cores, as in the sweep
        threads = max(1, available_cores() // processes)
        config = config.model_copy(update={"num_threads": threads})
    data: Any = task_of(config.model).read(config)
    with quietly():
        task = assembly.build_task(settle(config), data)
    vocab_size = data.tokenizer.vocab_size
    score_steps = task.score_tokens / tokens_per_step(config) / PASSES_PER_TRAINING_STEP

    @cache
    def of_a_step(keys: tuple[tuple[str, Any], ...]) -> float:
        with quietly():
            shape = settle(config.model_copy(update=dict(keys)))
        return seconds_of_a_step(shape, task) * config.accumulate_grad_batches

    def seconds(size: Size) -> float:
        steps = size.max_steps / (1 - VALIDATION_SHARE) + score_steps
        return START_SECONDS + steps * of_a_step(tuple(size.keys.items()))

    if minutes is not None:
        sizes = _in_minutes(
            minutes,
            lambda largest: series(config, largest, vocab_size),
            lambda sizes: turns([seconds(size) for size in sizes for _ in range(seeds)], processes),
        )
    else:
        sizes = series(config, _largest(config), vocab_size)
    _check_steps(sizes, minutes)
    return {
        "vocab_size": vocab_size,
        "unique_tokens": len(data.train),
        "tokens_per_step": tokens_per_step(config),
        "sizes": [size.as_dict() for size in sizes[:-1]],
        "predicted": sizes[-1].as_dict() | {"seconds": seconds(sizes[-1])},
    }


def _largest(config: Config) -> float:
    """Its weights, without a limit of time."""
    if config.max_steps is None:
        return float(num_weights(config))
    return config.max_steps * tokens_per_step(config) / TOKENS_PER_WEIGHT


def _in_minutes(
    minutes: float,
    sizes_of: Callable[[float], list[Size]],
    seconds_of: Callable[[list[Size]], float],
) -> list[Size]:
    """Tries larger and larger sizes, so that no step is timed that takes too long."""
    found, largest = [], LEAST_WEIGHTS * RATIO ** (NUM_SIZES - 1)
    while True:
        sizes = sizes_of(largest)
        if sizes[0].max_steps >= LEAST_STEPS:
            if (seconds := seconds_of(sizes[:-1])) > 60 * minutes:
                break
            found = sizes
        largest *= FINER
    if not found:
        raise UserError(
            f"--minutes {minutes:g} are too few for a scaling law: the smallest five sizes take "
            f"{seconds / 60:.2g} minutes here; give more"
        )
    return found


def turns(seconds: Sequence[float], processes: int) -> float:
    """Until the last of these runs has ended, each begun in this order as soon as one can be."""
    ends = [0.0] * processes
    for each in seconds:
        heapq.heapreplace(ends, ends[0] + each)
    return max(ends)


def _check_steps(sizes: list[Size], minutes: float | None) -> None:
    names = [size.name for size in sizes]
    if minutes is None and sizes[0].max_steps < LEAST_STEPS:
        least = math.ceil(LEAST_STEPS * sizes[-2].max_steps / sizes[0].max_steps)
        raise UserError(
            f"the smallest of five sizes, {names[0]}, would have {sizes[0].max_steps} steps, fewer "
            f"than {LEAST_STEPS}: give --max_steps {least:,} or more, a smaller batch_size, or "
            "--minutes"
        )
    if len(set(names)) < len(names):
        raise UserError(
            f"the sizes {', '.join(names[:-1])} are not all different: give more minutes or steps"
        )
