"""Chooses the sizes of a model, and how it trains, for a text, a machine and some minutes."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any, NamedTuple

from transformer.config.drafts import Draft
from transformer.config.keys import Config
from transformer.run.planning.law import LAW, block_parameters
from transformer.run.planning.steps import StepSeconds
from transformer.system.errors import UserError
from transformer.training.estimates import (
    PASSES_PER_TRAINING_STEP,
    PROGRAM_BYTES,
    START_SECONDS,
)
from transformer.training.validations import VALIDATION_SHARE

WIDTHS = (64, 96, 128, 160, 192, 256, 320, 384, 512)
NUM_BLOCKS = (2, 3, 4, 6)
FEWER = 0.7  # times the steps that the time allows, again and again: what else is considered
DROPOUTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
HEAD_DIM = 32
# What a plan takes on a CPU, unless it is given: as in configs/default.yaml.
PLAIN: Mapping[str, Any] = {"block_size": 128, "batch_size": 12, "lr": 0.01, "weight_decay": 0.1}
LARGER: Mapping[str, Any] = {"block_size": 256, "batch_size": 64}  # on a GPU
LEAST_STEPS = 50
WORTH = 0.002  # a larger model or more dropout must lower the loss by so much


class TextFacts(NamedTuple):
    """What a plan knows of a text: tokens to train on and to validate on, and a pilot's loss."""

    unique: int
    validated: int
    vocab_size: int
    pilot_loss: float = 0.0  # for a plan that expects no loss


class Size(NamedTuple):
    width: int
    num_heads: int
    num_blocks: int


class Plan(NamedTuple):
    """A choice, and what a run with it is expected to reach."""

    size: Size
    dropout: float
    steps: int
    passes: float
    val_loss: float
    ends_early: bool  # as more steps would only learn the text by heart


@dataclass(frozen=True)
class Planner:
    """`step_seconds` is needed to plan for minutes; for a number of steps, arithmetic is enough."""

    draft: Draft
    facts: TextFacts
    plain: Mapping[str, Any]
    step_seconds: StepSeconds | None = None
    free_bytes: float = math.inf
    spent_seconds: float = 0.0  # of the minutes, before the run starts

    @property
    def is_short(self) -> bool:
        """Whether the text has no room for a usual block_size."""
        return self.plain["block_size"] < PLAIN["block_size"]

    def for_minutes(self, minutes: float) -> Plan:
        """The plan of the lowest predicted loss. Raises: UserError if the minutes are too few."""
        plans = list(self._plans(lambda size: self._affordable(size, minutes)))
        if not plans:
            raise UserError(
                f"max_minutes {minutes:g} are too few to plan for: not even {LEAST_STEPS} steps of "
                "the smallest model fit in; give more minutes, or `max_steps`"
            )
        return _best(plans)

    def candidates(self, minutes: float, most: int) -> list[Plan]:
        """The plan for so many minutes, then the best plans of other sizes."""
        best = self.for_minutes(minutes)
        others: dict[Size, Plan] = {}
        for plan in self._plans(lambda size: self._affordable(size, minutes)):
            known = others.get(plan.size)
            if plan.size != best.size and (known is None or plan.val_loss < known.val_loss):
                others[plan.size] = plan
        return [best, *sorted(others.values(), key=lambda plan: plan.val_loss)][:most]

    def after(self, plan: Plan) -> Callable[[int], float]:
        """The loss that the law expects of such a run with another number of steps."""
        return lambda steps: self._loss(plan.size, plan.dropout, steps)

    def for_steps(self, steps: int) -> Plan:
        """The largest model that is the best use of what its own training costs."""
        kept = self.sizes[:1]
        for size in self.sizes:
            budget = max(steps, LEAST_STEPS) * self._cost(size)
            best = _best(list(self._plans(lambda each, budget=budget: budget // self._cost(each))))
            if self._cost(best.size) >= self._cost(size):
                kept.append(size)
        plans = self._plans(lambda size: max(steps, LEAST_STEPS) if size == kept[-1] else 0)
        passes = self._tokens(steps) / self.facts.unique
        return _best(list(plans))._replace(steps=steps, passes=passes)

    @cached_property
    def sizes(self) -> list[Size]:
        """All sizes that the given keys allow, the smallest first.

        Raises: UserError if there is none.
        """
        found = sorted(self._sizes(), key=self._cost)
        if not found:
            raise UserError(
                f"no model can be planned with {self.draft.given('embedding_dim', 'num_heads')}: "
                "num_heads must divide embedding_dim into heads of an even width; give other "
                "values, or auto"
            )
        fitting = [size for size in found if self._bytes(size) <= self.free_bytes]
        if not fitting:
            given = self.draft.given("embedding_dim", "num_blocks", "batch_size", "block_size")
            raise UserError(
                f"the smallest model to plan needs {self._bytes(found[0]) / 1e9:.2g} GB, and "
                f"{self.free_bytes / 1e9:.2g} GB are free here: give smaller values than "
                f"{given or 'this machine has room for'}"
            )
        return fitting

    def _bytes(self, size: Size) -> float:
        """About: weights, gradients and two moments; 34 numbers of each token in each block."""
        weights = block_parameters(size.width, size.num_blocks)
        weights += 2 * self.facts.vocab_size * size.width
        numbers = 34 * size.width * size.num_blocks + 4 * self.facts.vocab_size
        numbers *= self.base.batch_size * self.base.block_size
        return PROGRAM_BYTES + 16 * weights + 4 * numbers

    def _sizes(self) -> Iterator[Size]:
        for width in self._open("embedding_dim", WIDTHS):
            for num_heads in self._open("num_heads", (_usual_heads(width),)):
                if width % num_heads == 0 and width // num_heads % 2 == 0:
                    for num_blocks in self._open("num_blocks", NUM_BLOCKS):
                        yield Size(width, num_heads, num_blocks)

    def _open(self, key: str, choices: tuple[Any, ...]) -> tuple[Any, ...]:
        """The choices for a key that is auto, otherwise its value."""
        return choices if key in self.draft.auto else (getattr(self.base, key),)

    @cached_property
    def base(self) -> Config:
        """Any config of this draft, for the keys that are given.

        Raises: UserError for a given value that no plan can have.
        """
        return self.draft.base(**self.plain)

    def _plans(self, steps_of: Callable[[Size], int]) -> Iterator[Plan]:
        """One for each size and dropout; those with fewer than LEAST_STEPS are left out."""
        for size in self.sizes:
            steps = steps_of(size)
            if steps < LEAST_STEPS:
                continue
            numbers = [steps]
            while "max_steps" in self.draft.auto and FEWER * numbers[-1] >= LEAST_STEPS:
                numbers.append(int(FEWER * numbers[-1]))
            for dropout, used in product(self._open("dropout", DROPOUTS), numbers):
                passes = self._tokens(used) / self.facts.unique
                loss = self._loss(size, dropout, used)
                yield Plan(size, dropout, used, passes, loss, ends_early=used < steps)

    def _loss(self, size: Size, dropout: float, steps: int) -> float:
        return LAW.loss(
            self.facts.pilot_loss,
            width=size.width,
            num_blocks=size.num_blocks,
            seen=float(self._tokens(max(steps, 1))),
            unique=float(self.facts.unique),
            dropout=dropout,
        )

    def _affordable(self, size: Size, minutes: float) -> int:
        """The steps in the minutes, beside the start, the validations and the exact score."""
        assert self.step_seconds is not None
        base = self.base
        step = self.step_seconds(size.width, size.num_blocks) * base.accumulate_grad_batches
        score = 2 * self.facts.validated * step / self._tokens(1) / PASSES_PER_TRAINING_STEP
        seconds = 60 * minutes - self.spent_seconds - START_SECONDS - score
        steps = seconds * (1 - VALIDATION_SHARE) / step
        return int(min(steps, base.max_steps or math.inf, self._steps_of_epochs()))

    def _tokens(self, steps: int) -> int:
        """That so many steps read."""
        base = self.base
        return steps * base.accumulate_grad_batches * base.batch_size * base.block_size

    def _steps_of_epochs(self) -> float:
        """An epoch reads every chunk, and chunks overlap."""
        base = self.base
        if base.epochs is None:
            return math.inf
        stride = base.block_size if base.stride == "block_size" else base.stride
        return base.epochs * self.facts.unique / stride * base.block_size / self._tokens(1)

    def _cost(self, size: Size) -> int:
        """In proportion to the operations of a step."""
        head = size.width * self.facts.vocab_size
        return block_parameters(size.width, size.num_blocks) + head

    def config_of(self, plan: Plan) -> Config:
        steps = plan.steps if plan.ends_early else None  # the minutes end the run
        return self.draft.config(
            **values_of(self.draft, self.plain, plan.size, plan.dropout, steps)
        )


def _usual_heads(width: int) -> int:
    """The number whose heads have an even width nearest to HEAD_DIM."""
    numbers = [n for n in range(1, width + 1) if width % n == 0 and width // n % 2 == 0]
    return min(numbers, key=lambda n: abs(width // n - HEAD_DIM), default=1)


def values_of(
    draft: Draft, plain: Mapping[str, Any], size: Size, dropout: float, max_steps: int | None
) -> dict[str, Any]:
    """Of the keys that are auto."""
    values = {
        "embedding_dim": size.width,
        "num_heads": size.num_heads,
        "num_blocks": size.num_blocks,
        **plain,
        "dropout": dropout,
        "max_steps": max_steps,
    }
    return {key: value for key, value in values.items() if key in draft.auto}


def _best(plans: Sequence[Plan]) -> Plan:
    """The first, and so the smallest, whose loss is hardly above the lowest."""
    least = min(plan.val_loss for plan in plans)
    return next(plan for plan in plans if plan.val_loss <= least + WORTH)
