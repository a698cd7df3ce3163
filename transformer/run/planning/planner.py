"""What all planners share: sizes, times, memory, and the config that a plan makes."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

from transformer.config.drafts import Draft
from transformer.config.keys import Config
from transformer.run.planning.sizes import WIDTHS, Size, usual_heads
from transformer.run.planning.steps import USUAL, Compiling, StepSeconds, timed_steps
from transformer.system.devices import resolve_accelerator
from transformer.system.errors import UserError
from transformer.system.speed import WORTH_CHANGING
from transformer.tasks.base import Data
from transformer.training.estimates import END_SECONDS, PASSES_PER_TRAINING_STEP, process_bytes
from transformer.training.validations import VALIDATION_SHARE

LEAST_STEPS = 50
MOST_PLANNING = 0.25  # of the minutes; what takes longer comes on top
USUAL_LR = {"muon": 0.01, "adamw": 0.001}
R_DROP_COST = 2.0  # R-Drop passes each batch twice
# For data that is too little to plan for, which a model soon learns by heart.
TINY: Mapping[str, Any] = {"batch_size": 12, "dropout": 0.2, "weight_decay": 0.1, "max_steps": 100}


class DataFacts(NamedTuple):
    """What a plan knows of its data, in tokens."""

    unique: int  # of the training split
    score_tokens: int  # see `TaskRun.score_tokens`
    vocab_size: int
    num_examples: int  # of one epoch
    tokens_per_example: float


class Plan(NamedTuple):
    """A choice, and what a run with it is expected to reach."""

    size: Size
    recipe: Mapping[str, Any]  # the keys that are chosen together with the size
    steps: int
    passes: float
    predicted: float | None  # val_loss, if a law predicts it; plans are compared by it
    ends_early: bool = False  # as more steps would only learn the text by heart
    untrained: float = math.inf  # val_loss of a model to which all symbols are alike

    @property
    def expected(self) -> float | None:
        """Never more than an untrained model has, whatever the law says."""
        return None if self.predicted is None else min(self.predicted, self.untrained)


@dataclass(frozen=True)
class Planner(ABC):
    """`step_seconds` is needed to plan for minutes; for a number of steps, arithmetic is enough.

    `plain` are the values of keys that are auto and not chosen together with the size.
    """

    num_blocks: ClassVar[tuple[int, ...]] = (2, 3, 4, 6)  # that are considered

    draft: Draft
    facts: DataFacts
    plain: Mapping[str, Any]
    step_seconds: StepSeconds | None = None
    free_bytes: float = math.inf
    spent_seconds: float = 0.0  # of the minutes, before the run starts

    @classmethod
    @abstractmethod
    def read(cls, draft: Draft) -> tuple["Planner", Data]:
        """Raises: UserError for data that no plan is for."""

    def measured(self, settled: Config, data: Data) -> "Planner":
        """With what plans for minutes need: how long steps take here."""
        return replace(self, step_seconds=timed_steps(settled, data))

    @abstractmethod
    def for_minutes(self, minutes: float) -> Plan:
        """The best plan. Raises: UserError if the minutes are too few."""

    @abstractmethod
    def for_steps(self, steps: int) -> Plan: ...

    @abstractmethod
    def reasons(self, plan: Plan) -> dict[str, str]:
        """Why keys that are auto have their values; the others are as the recipe was tuned."""

    @abstractmethod
    def block_parameters(self, size: Size) -> int: ...

    def candidates(self, minutes: float, most: int) -> list[Plan]:
        """The plan for so many minutes, then the best plans of other sizes."""
        return [self.for_minutes(minutes)][:most]

    def after(self, plan: Plan, steps: int) -> float | None:
        """The loss of such a run with another number of steps, if a law predicts it."""
        return None

    def outlook(self, plan: Plan) -> str:
        """The expected loss in words; empty if nothing predicts it."""
        return ""

    def bits_per_byte(self, plan: Plan) -> float | None:
        """The expected loss of a text in bits per byte; None if nothing predicts it."""
        return None

    @cached_property
    def sizes(self) -> list[Size]:
        """All sizes that the given keys allow, the smallest first.

        Raises: UserError if there is none.
        """
        found = sorted(self._sizes(), key=self.cost)
        if not found:
            given = self.draft.given("embedding_dim", "num_heads", "num_kv_heads")
            raise UserError(
                f"no model can be planned with {given}: "
                "num_heads must divide embedding_dim (with rotary positions, into heads of an even "
                "width), and num_kv_heads must divide num_heads; give other values, or auto"
            )
        fitting = [size for size in found if self._bytes(size) <= self.free_bytes]
        if not fitting:
            given = self.draft.given("embedding_dim", "num_blocks", "batch_size", "block_size")
            raise UserError(
                f"the smallest model to plan needs {self._bytes(found[0]) / 1e9:.3g} GB, and "
                f"{self.free_bytes / 1e9:.3g} GB are free here: give smaller values than "
                f"{given or 'this machine has room for'}"
            )
        return fitting

    def _bytes(self, size: Size) -> float:
        """About: weights, gradients and two moments; 34 numbers of each token in each block.

        On a CPU, attention with dropout keeps two matrices of each head and a mask of bytes.
        """
        on_cpu = resolve_accelerator(self.base.accelerator) == "cpu"
        weights = self.block_parameters(size)
        weights += 2 * self.facts.vocab_size * size.width
        of_a_block = 34 * size.width
        if on_cpu and getattr(self.base.family_settings(), "attention_dropout", 0.0):
            of_a_block += 2.25 * size.num_heads * self.base.block_size
        numbers = of_a_block * size.num_blocks + 4 * self.facts.vocab_size
        numbers *= self.base.batch_size * self.facts.tokens_per_example
        if "r_drop" in self.draft.auto or self.base.r_drop:
            numbers *= 2  # the batch is passed twice
        step_bytes = float(16 * weights + 4 * numbers)
        return process_bytes(step_bytes) if on_cpu else step_bytes

    def _sizes(self) -> Iterator[Size]:
        for width in self.open("embedding_dim", WIDTHS):
            num_kv_heads = self.draft.number("num_kv_heads") or 1
            for num_heads in self.open("num_heads", (usual_heads(width, num_kv_heads),)):
                if self._has_heads(width, num_heads):
                    for num_blocks in self.open("num_blocks", self.num_blocks):
                        yield Size(width, num_heads, num_blocks)

    def _has_heads(self, width: int, num_heads: int) -> bool:
        """Whether a model of this width can have them, with all other keys as they are given."""
        changes = {"embedding_dim": width, "num_heads": num_heads}
        try:
            self.base.model_copy(update=changes).family_settings()
        except ValueError:
            return False
        return True

    def usual(self) -> Config:
        """The config of the size that is nearest to the one the recipe was tuned with.

        Raises: UserError if no size is possible, or none fits into the memory.
        """
        width, num_blocks = USUAL
        size = min(self.sizes, key=lambda s: (abs(s.width - width), abs(s.num_blocks - num_blocks)))
        return self.base.model_copy(update=size.keys)

    def open(self, key: str, choices: tuple[Any, ...]) -> tuple[Any, ...]:
        """The choices for a key that is auto, otherwise its value."""
        return choices if key in self.draft.auto else (getattr(self.base, key),)

    @cached_property
    def base(self) -> Config:
        """Any config of this draft, for the keys that are given.

        Raises: UserError for a given value that no plan can have.
        """
        return self.draft.base(**self.plain)

    def affordable(self, size: Size, minutes: float, recipe: Mapping[str, Any]) -> int:
        """The steps in the minutes, beside start and end, validations and the exact score."""
        assert self.step_seconds is not None
        step = self._step(size, recipe)
        seconds = 60 * minutes - self.spent_seconds - self._end_seconds(size)
        steps = seconds / step
        if (compiling := self._compiling) is not None:
            compiled = (seconds - compiling.cost(size.num_blocks)) / step * compiling.gain
            steps = max(steps, compiled)
        steps *= 1 - VALIDATION_SHARE
        return max(0, int(min(steps, self._most_steps)))

    @property
    def _most_steps(self) -> float:
        """That the given limits allow, beside the minutes."""
        return float(min(self.base.max_steps or math.inf, self._steps_of_epochs()))

    @property
    def least_steps(self) -> int:
        """Fewer are not planned for, unless the given limits allow no more."""
        return max(1, int(min(LEAST_STEPS, self._most_steps)))

    def _end_seconds(self, size: Size) -> float:
        """Those of the exact score, and of start and end."""
        assert self.step_seconds is not None
        score = self.step_seconds(size.width, size.num_blocks) * self.facts.score_tokens
        score /= self.tokens(1) / self.base.accumulate_grad_batches * PASSES_PER_TRAINING_STEP
        return score + END_SECONDS

    def _step(self, size: Size, recipe: Mapping[str, Any]) -> float:
        """The seconds of one that is not compiled."""
        assert self.step_seconds is not None
        seconds = self.step_seconds(size.width, size.num_blocks)
        return seconds * self.base.accumulate_grad_batches * self._slower(recipe)

    @property
    def _compiling(self) -> Compiling | None:
        known = None if self.step_seconds is None else self.step_seconds.compiling
        return known if self.base.compile == "auto" else None

    def compiles(self, plan: Plan) -> bool | None:
        """Whether the run is sooner at its end so; None if the run has to find out."""
        if (compiling := self._compiling) is None:
            return None
        seconds = plan.steps * self._step(plan.size, plan.recipe)
        compiled = seconds / compiling.gain + compiling.cost(plan.size.num_blocks)
        return compiled < seconds / WORTH_CHANGING

    def _slower(self, recipe: Mapping[str, Any]) -> float:
        """How many times as long a step takes with this dropout and R-Drop."""
        assert self.step_seconds is not None
        slower = self.step_seconds.dropout_cost if recipe["dropout"] else 1.0
        return slower * (R_DROP_COST if recipe["r_drop"] else 1.0)

    def seconds_of_a_step(self, plan: Plan) -> str:
        """In words that follow a reason; empty if it was not measured."""
        if self.step_seconds is None:
            return ""
        seconds = self._step(plan.size, plan.recipe)
        if (compiling := self._compiling) is not None and self.compiles(plan):
            return f" at {seconds / compiling.gain:.2g} s a step here, compiled"
        return f" at {seconds:.2g} s a step here"

    def tokens(self, steps: int) -> float:
        """That so many steps read."""
        examples = steps * self.base.accumulate_grad_batches * self.base.batch_size
        return examples * self.facts.tokens_per_example

    def passes(self, steps: int) -> float:
        return self.tokens(steps) / self.facts.unique

    def _steps_of_epochs(self) -> float:
        base = self.base
        examples = (base.epochs or math.inf) * self.facts.num_examples
        return examples / (base.accumulate_grad_batches * base.batch_size)

    def cost(self, size: Size) -> int:
        """In proportion to the operations of a step."""
        return self.block_parameters(size) + size.width * self.facts.vocab_size

    def config_of(self, plan: Plan) -> Config:
        values = {
            **plan.size.keys,
            **self.plain,
            **plan.recipe,
            "max_steps": plan.steps if plan.ends_early else None,  # the minutes end the run
        }
        chosen = {key: values[key] for key in self.draft.auto}
        if (compiles := self.compiles(plan)) is not None:
            chosen["compile"] = compiles
        return self.draft.config(**chosen)

    def too_few(self, minutes: float, recipe: Mapping[str, Any]) -> UserError:
        size = self.sizes[0]
        steps = self.least_steps * self._step(size, recipe) / (1 - VALIDATION_SHARE)
        needed = (steps + self._end_seconds(size)) / 60 / (1 - MOST_PLANNING)
        given = self.draft.given("embedding_dim", "num_blocks", "batch_size", "block_size")
        return UserError(
            f"max_minutes {minutes:g} are too few to plan for: not even {self.least_steps} steps "
            f"of the smallest model{given and f' with {given}'} fit in; give more minutes "
            f"({math.ceil(10 * needed) / 10:g} are enough here), or `max_steps`"
        )


def tiny_flags(draft: Draft, **values: Any) -> str:
    """All that a plan would choose, as flags for a tiny model, with these values."""
    config = draft.base(**TINY, lr=USUAL_LR[draft.base().optimizer], **values)
    return " ".join(f"`{key}={getattr(config, key)}`" for key in draft.auto)
