"""Chooses the sizes of a scaling law by the time that their steps take on this machine."""

import heapq
import math
from collections.abc import Callable, Sequence
from typing import Any

from transformer.config.keys import Config
from transformer.run import assembly
from transformer.run.planning.steps import seconds_of_a_step
from transformer.run.settling import settle
from transformer.sweep.scaling.sizes import (
    BEYOND,
    NUM_SIZES,
    RATIO,
    TOKENS_PER_WEIGHT,
    Size,
    num_weights,
    series,
    tokens_per_step,
)
from transformer.system.cores import threads_of_each
from transformer.system.errors import UserError
from transformer.system.terminal import quiet_libraries, quietly
from transformer.tasks.base import Data
from transformer.tasks.registry import task_of
from transformer.training.estimates import END_SECONDS, PASSES_PER_TRAINING_STEP
from transformer.training.validations import VALIDATION_SHARE

LEAST_STEPS = 150  # of the smallest size: with fewer, its loss says little of longer runs
HALVINGS = 2  # of the interval in which the largest size is looked for
LEAST_WEIGHTS = 1e3  # of the smallest size


class Timer:
    """The seconds of a size's whole run on this machine, from a few steps on random tokens.

    Without imports: the processes of a sweep are copies of one that has done them.
    """

    def __init__(self, config: Config, data: Data) -> None:
        self._config = config
        self._data = data
        self._known: dict[str, float] = {}

    def __call__(self, size: Size) -> float:
        key = repr(size)
        if key not in self._known:
            self._known[key] = self._measure(size)
        return self._known[key]

    def _measure(self, size: Size) -> float:
        with quietly():
            shape = settle(self._config.model_copy(update=dict(size.keys)))
            task = assembly.build_task(shape, self._data)
        score_steps = task.score_tokens / tokens_per_step(shape) / PASSES_PER_TRAINING_STEP
        steps = size.max_steps / (1 - VALIDATION_SHARE) + score_steps
        step_seconds = seconds_of_a_step(shape, task) * shape.accumulate_grad_batches
        return END_SECONDS + steps * step_seconds


def measure_sizes(
    config: Config, minutes: float | None, *, processes: int = 1, seeds: int = 1
) -> dict[str, Any]:
    """The sizes of a scaling law, for `Plan.measured`: plain values.

    With `minutes`, the five sizes are the largest that end in that time. Without, they are chosen
    so that the predicted run has the config's max_steps; without those too, so that it has the
    config's own shape.

    Raises: UserError if the minutes or steps are too few, and for what a run refuses.
    """
    quiet_libraries()
    if processes > 1 and config.num_threads == "auto":  # they share the cores, as in the sweep
        config = config.model_copy(update={"num_threads": threads_of_each(processes)})
    data: Any = task_of(config.model).read(config)
    vocab_size = data.tokenizer.vocab_size
    seconds = Timer(config, data)
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
        "sizes": [size.as_dict() for size in sizes[:-1]],
        "predicted": sizes[-1].as_dict() | {"seconds": seconds(sizes[-1])},
    }


def _largest(config: Config) -> float:
    """The weights of the largest of five sizes, without a limit of time."""
    if config.max_steps is None:
        return num_weights(config) / BEYOND
    return config.max_steps * tokens_per_step(config) / TOKENS_PER_WEIGHT / BEYOND


def _in_minutes(
    minutes: float,
    sizes_of: Callable[[float], list[Size]],
    seconds_of: Callable[[list[Size]], float],
) -> list[Size]:
    """Multiplies the largest size by RATIO until the runs take too long, so that no step is timed
    that takes far too long; then halves the interval.
    """
    largest = LEAST_WEIGHTS * RATIO ** (NUM_SIZES - 1)
    while sizes_of(largest)[0].max_steps < LEAST_STEPS:
        largest *= RATIO
    found, seconds = None, seconds_of(sizes_of(largest)[:-1])
    while seconds <= 60 * minutes:
        found = largest
        largest *= RATIO
        seconds = seconds_of(sizes_of(largest)[:-1])
    if found is None:
        raise UserError(
            f"--minutes {minutes:g} is too few for a scaling law: the smallest five sizes take "
            f"{seconds / 60:.2g} minutes here; give more"
        )
    for _ in range(HALVINGS):
        between = math.sqrt(found * largest)
        if seconds_of(sizes_of(between)[:-1]) <= 60 * minutes:
            found = between
        else:
            largest = between
    return sizes_of(found)


def turns(seconds: Sequence[float], processes: int) -> float:
    """Until the last of these runs has ended, each begun in this order as soon as one can be."""
    ends = [0.0] * processes  # a heap
    for each in seconds:
        heapq.heapreplace(ends, ends[0] + each)
    return max(ends)


def _check_steps(sizes: list[Size], minutes: float | None) -> None:
    names = [size.name for size in sizes]
    more = "--minutes" if minutes is None else "more --minutes"
    if sizes[0].max_steps < LEAST_STEPS:
        raise UserError(
            f"the smallest of five sizes, {names[0]}, would have {sizes[0].max_steps} steps, fewer "
            f"than {LEAST_STEPS}: give a larger --max_steps, a smaller batch_size, or {more}"
        )
    if len(set(names)) < len(names):
        raise UserError(
            f"the sizes {', '.join(names)} are not all different: give a larger --max_steps, or "
            f"{more}"
        )
