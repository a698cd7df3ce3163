"""Plans the training on a text: the sizes, dropout and steps of the lowest predicted loss."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, NamedTuple

from transformer.config.drafts import Draft
from transformer.config.keys import Config
from transformer.data.order import num_chunks
from transformer.data.sources.reading import total_bytes
from transformer.data.text.settings import TextSettings
from transformer.data.tokenizers.bpe import BpeTokenizer
from transformer.run import assembly
from transformer.run.planning.law import (
    ERROR,
    FITTED_FROM,
    FITTED_TO,
    LAW,
    LEAST_PROMISED,
    PLAIN,
    USUAL_PROMISED,
    block_parameters,
)
from transformer.run.planning.pilot import SIZES, promised_loss
from transformer.run.planning.planner import (
    LEAST_STEPS,
    USUAL_LR,
    DataFacts,
    Plan,
    Planner,
    tiny_flags,
)
from transformer.run.planning.sizes import Size
from transformer.run.planning.steps import timed_steps
from transformer.run.timing import free_memory
from transformer.system.devices import resolve_accelerator
from transformer.system.errors import UserError
from transformer.tasks.base import Data
from transformer.tasks.registry import task_of

FEWER = 0.7  # times the steps that the time allows, again and again: what else is considered
DROPOUTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
R_DROPS = (0.0, 1.0)
LARGER: Mapping[str, Any] = {"block_size": 256, "batch_size": 64}  # on a GPU
WORTH = 0.002  # a larger model or more dropout must lower the loss by so much
LEAST_TOKENS = 2_000
SIZED_TOKENS = 100_000
# Bytes of a text from which pieces are better than characters, in runs of five minutes: between
# texts of 1.1 and of 4 MB (`benchmarks/tokenizer_runs.py`).
PIECES_FROM = 2_000_000


class Recipe(NamedTuple):
    dropout: float
    r_drop: float


StepsOf = Callable[[Size, Recipe], int]


@dataclass(frozen=True)
class TextPlanner(Planner):
    promised: float = USUAL_PROMISED  # without pilots
    bytes_per_token: float = 1.0

    @classmethod
    def read(cls, draft: Draft) -> tuple[Planner, Data]:
        base = draft.base(**PLAIN)
        if "tokenizer" in draft.auto:
            base = draft.base(**PLAIN, tokenizer=_tokenizer(base))
        data: Any = task_of(base.model).read(base.model_copy(update={"block_size": 1}))
        if len(data.tokens) < LEAST_TOKENS:
            raise _too_short(draft, base, data)
        plain = _plain(base, _shortest(data))
        base = draft.base(**plain)
        stride = base.block_size if base.stride == "block_size" else base.stride
        facts = DataFacts(
            unique=len(data.train),
            score_tokens=assembly.build_task(base, data).score_tokens,
            vocab_size=data.tokenizer.vocab_size,
            num_examples=num_chunks(len(data.train), base.block_size, stride),
            tokens_per_example=float(base.block_size),
        )
        free_bytes = free_memory(resolve_accelerator(base.accelerator))
        sized = data.val[:SIZED_TOKENS]
        size = {"bytes_per_token": data.tokenizer.size(sized).num_bytes / len(sized)}
        return cls(draft, facts, plain, free_bytes=free_bytes, **size), data

    def measured(self, settled: Config, data: Data) -> Planner:
        times = timed_steps(settled, data)
        if not self._expects_a_loss:
            return replace(self, step_seconds=times)
        seconds = times(SIZES["embedding_dim"], SIZES["num_blocks"])
        promised = promised_loss(settled, data, seconds)
        return replace(self, step_seconds=times, promised=promised)

    @property
    def _expects_a_loss(self) -> bool:
        """The law was fitted to losses per character.

        For pieces it is far off: 1.6 for a run on the plays that reached 2.1
        (`benchmarks/results/*/tokenizer_runs.json`).
        """
        return self.base.tokenizer == TextSettings.tokenizer

    def for_minutes(self, minutes: float) -> Plan:
        plans = list(self._plans(self._steps_in(minutes)))
        if not plans:
            raise self.too_few(minutes, self._recipes()[0]._asdict())
        return _best(plans)

    def candidates(self, minutes: float, most: int) -> list[Plan]:
        best = self.for_minutes(minutes)
        others: dict[Size, Plan] = {}
        for plan in self._plans(self._steps_in(minutes)):
            known = others.get(plan.size)
            if plan.size != best.size and (known is None or _loss(plan) < _loss(known)):
                others[plan.size] = plan
        return [best, *sorted(others.values(), key=_loss)][:most]

    def after(self, plan: Plan, steps: int) -> float:
        return self._expected(plan.size, Recipe(**plan.recipe), steps)

    def for_steps(self, steps: int) -> Plan:
        """The largest model that is the best use of what its own training costs."""
        kept = self.sizes[:1]
        for size in self.sizes:
            budget = max(steps, LEAST_STEPS) * self.cost(size)
            plans = self._plans(lambda each, _, budget=budget: budget // self.cost(each))
            best = _best(list(plans))
            if self.cost(best.size) >= self.cost(size):
                kept.append(size)
        plans = self._plans(lambda size, _: max(steps, LEAST_STEPS) if size == kept[-1] else 0)
        return _best(list(plans))._replace(steps=steps, passes=self.passes(steps))

    def _steps_in(self, minutes: float) -> StepsOf:
        return lambda size, recipe: self.affordable(size, minutes, recipe._asdict())

    def _recipes(self) -> list[Recipe]:
        """R-Drop compares two passes with different dropout."""
        pairs = product(self.open("dropout", DROPOUTS), self.open("r_drop", R_DROPS))
        return [
            recipe for recipe in map(Recipe._make, pairs) if recipe.dropout or not recipe.r_drop
        ]

    def _plans(self, steps_of: StepsOf) -> Iterator[Plan]:
        """One for each size and recipe; those with fewer than `least_steps` are left out."""
        untrained = math.log(self.facts.vocab_size)
        for size, recipe in product(self.sizes, self._recipes()):
            steps = used = steps_of(size, recipe)
            while used >= self.least_steps:
                loss, passes = self._expected(size, recipe, used), self.passes(used)
                yield Plan(size, recipe._asdict(), used, passes, loss, used < steps, untrained)
                if "max_steps" not in self.draft.auto:
                    break
                used = int(FEWER * used)

    def _expected(self, size: Size, recipe: Recipe, steps: int) -> float:
        return LAW.loss(
            self.promised,
            width=size.width,
            num_blocks=size.num_blocks,
            seen=self.tokens(max(steps, 1)),
            unique=float(self.facts.unique),
            **recipe._asdict(),
        )

    def bits_per_byte(self, plan: Plan) -> float | None:
        if not self._expects_a_loss:
            return None
        return min(_loss(plan), plan.untrained) / self.bytes_per_token / math.log(2)

    def block_parameters(self, size: Size) -> int:
        return block_parameters(size.width, size.num_blocks)

    def reasons(self, plan: Plan) -> dict[str, str]:
        passes = f"{plan.passes:.3g} passes over {self.facts.unique:,} tokens"
        size = "the best use of these steps"
        if self.step_seconds is not None:
            size = f"lowest predicted loss of all sizes{self.seconds_of_a_step(plan)}"
        reasons = dict.fromkeys(("embedding_dim", "num_blocks"), size)
        reasons |= {"dropout": passes, "r_drop": passes, "tokenizer": "the length of the text"}
        if plan.ends_early:
            reasons["max_steps"] = "more would learn the text by heart"
        if self.plain["block_size"] < PLAIN["block_size"]:
            reasons["block_size"] = "room in a short text"
        if self.base.optimizer == "adamw":
            reasons["lr"] = "usual for adamw"
        return reasons

    def outlook(self, plan: Plan) -> str:
        if not self._expects_a_loss:
            return ""
        if self.promised < LEAST_PROMISED:
            return f"val_loss below {plan.expected:.2f} (the law knows no text so predictable)"
        unlike = self._unlike_the_laws_runs()
        sure = f"(a guess {unlike})" if unlike else f"+- {2 * ERROR:.2f}"
        return f"val_loss {plan.expected:.2f} {sure}"

    def _unlike_the_laws_runs(self) -> str:
        """The first of the facts on which the law was not tried, so nobody knows its error here."""
        if self.facts.unique < FITTED_FROM:
            return "for so short a text"
        if self.facts.unique > FITTED_TO:
            return "for so long a text"
        usual = {"optimizer": "muon", **PLAIN}
        found = {key: getattr(self.base, key) for key in usual}
        others = [f"{key} {value}" for key, value in found.items() if value != usual[key]]
        return f"with {', '.join(others)}" if others else ""


def _shortest(data: Any) -> int:
    """The tokens of the shortest split."""
    return min(len(split) for split in (data.train, data.val, data.test) if len(split))


def _too_short(draft: Draft, base: Config, data: Any) -> UserError:
    longest = min(16, _shortest(data) - 1)  # a chunk has one token more
    flags = tiny_flags(draft, block_size=longest, tokenizer=base.tokenizer) if longest > 0 else ""
    return UserError(
        f"{base.data_name}: {len(data.tokens):,} {data.tokenizer.units} are too few to plan for: "
        f"give a text of {LEAST_TOKENS:,} or more"
        + (flags and f", or train without a plan, with {flags}")
    )


def _plain(base: Config, shortest: int) -> dict[str, Any]:
    plain = dict(PLAIN)
    if resolve_accelerator(base.accelerator) != "cpu":
        plain |= LARGER
    plain["lr"] = USUAL_LR[base.optimizer]
    longest = 2 ** int(math.log2(shortest / 2))
    plain["tokenizer"] = base.tokenizer
    return plain | {"block_size": min(plain["block_size"], longest)}


def _tokenizer(base: Config) -> str:
    """Pieces for a long text, and where a key of theirs is given."""
    if base.tokenizer == BpeTokenizer.name:
        return base.tokenizer
    reading = base.group(TextSettings).reading()
    size = total_bytes(base.data_path, None, reading, build=True)
    return BpeTokenizer.name if size >= PIECES_FROM else base.tokenizer


def _loss(plan: Plan) -> float:
    assert plan.predicted is not None  # the law gives every plan one
    return plan.predicted


def _best(plans: Sequence[Plan]) -> Plan:
    """The first, and so the smallest, whose loss is hardly above the lowest."""
    least = min(map(_loss, plans))
    return next(plan for plan in plans if _loss(plan) <= least + WORTH)
