"""Plans the training on pairs: the largest model whose steps pass over the pairs often enough.

No law predicts how many answers will be wrong. PASSES is from runs on 8,000 words of CMUdict
(`benchmarks/pair_runs.py`): up to 16 passes, twice the steps were worth more than R-Drop. In ten
minutes for these words, a model of 160 numbers and three blocks with batches of 32, a lower
learning rate and dropout of 0.3 did better than one of 128 with 64 and 0.2 (docs/pairs.md). The
other numbers are chosen by hand, between these runs and configs/g2p.yaml.
"""

import math
from dataclasses import dataclass
from typing import Any

from transformer.config.drafts import Draft
from transformer.run import assembly
from transformer.run.planning.planner import (
    USUAL_LR,
    DataFacts,
    Plan,
    Planner,
    tiny_flags,
)
from transformer.run.planning.sizes import Size
from transformer.run.timing import free_memory
from transformer.system.devices import resolve_accelerator
from transformer.system.errors import UserError
from transformer.tasks.base import Data
from transformer.tasks.registry import task_of

LONGEST = 512  # units of a source or a target, for a block_size that is auto
LEAST_PAIRS = 200
PASSES = 12  # over the training pairs, before R-Drop or a larger model is worth its time
MOST_PARAMETERS = 350  # of the blocks, for each training pair
STEPS_PER_PASS = 200  # about, with batches of LEAST_BATCH to MOST_BATCH pairs
LEAST_BATCH, MOST_BATCH = 32, 256
USUAL_BATCH = 96  # smaller ones have a lower learning rate
MANY_PAIRS = 50_000


@dataclass(frozen=True)
class PairPlanner(Planner):
    num_blocks = (3, 4)  # on each side

    num_pairs: int = 0  # for training

    @classmethod
    def read(cls, draft: Draft) -> tuple[Planner, Data]:
        base = draft.base(block_size=LONGEST)
        data: Any = task_of(base.model).read(base)
        plain = {"block_size": _longest(data), "lr": USUAL_LR[base.optimizer], "weight_decay": 0.1}
        task = assembly.build_task(draft.base(**plain), data)
        num_pairs = task.data.num_examples
        if num_pairs < LEAST_PAIRS:
            flags = tiny_flags(draft, block_size=plain["block_size"])
            raise UserError(
                f"{base.data_path}: {num_pairs:,} pairs to train on are too few to plan for: give "
                f"{LEAST_PAIRS:,} or more, or train without a plan, with {flags}"
            )
        facts = DataFacts(
            unique=task.data.num_train_tokens,
            score_tokens=task.score_tokens,
            vocab_size=sum(task.data.sizes.values()),
            num_examples=num_pairs,
            tokens_per_example=task.tokens_per_example,
        )
        free_bytes = free_memory(resolve_accelerator(base.accelerator))
        plain["batch_size"] = _batch_size(num_pairs)
        batch_size = draft.base(**plain).batch_size  # the given one, if there is one
        plain["lr"] = _lr(plain["lr"], batch_size)
        return cls(draft, facts, plain, free_bytes=free_bytes, num_pairs=num_pairs), data

    def for_minutes(self, minutes: float) -> Plan:
        """R-Drop takes twice the time of a step, so it comes where the passes allow it."""
        for size in reversed(self._worthwhile()):
            for r_drop in self._r_drops():
                steps = self.affordable(size, minutes, self._recipe(r_drop))
                if self.passes(steps) >= PASSES:
                    return self._plan(size, r_drop, steps)
        size, r_drop = self.sizes[0], self.open("r_drop", (0.0,))[0]
        steps = self.affordable(size, minutes, self._recipe(r_drop))
        if steps < self.least_steps:
            raise self.too_few(minutes, self._recipe(r_drop))
        return self._plan(size, r_drop, steps)

    def _r_drops(self) -> tuple[float, ...]:
        """R-Drop compares two passes with different dropout; the first value is preferred."""
        base = self.base.resolved()
        drops = "dropout" in self.draft.auto or base["dropout"] or base["target_dropout"]
        return self.open("r_drop", (1.0, 0.0) if drops else (0.0,))

    def for_steps(self, steps: int) -> Plan:
        """The largest model that there are pairs for; R-Drop where they are read often enough."""
        r_drop = self._r_drops()[0 if self.passes(steps) >= PASSES else -1]
        return self._plan(self._worthwhile()[-1], r_drop, steps)

    def _worthwhile(self) -> list[Size]:
        """The sizes for which there are enough pairs; at least the smallest."""
        most = MOST_PARAMETERS * self.num_pairs
        found = [size for size in self.sizes if self.block_parameters(size) <= most]
        return found or self.sizes[:1]

    def _plan(self, size: Size, r_drop: float, steps: int) -> Plan:
        return Plan(size, self._recipe(r_drop), steps, self.passes(steps), predicted=None)

    def _recipe(self, r_drop: float) -> dict[str, float]:
        dropout = self.open("dropout", (_dropout(self.num_pairs),))[0]
        return {"dropout": dropout, "r_drop": r_drop}

    def block_parameters(self, size: Size) -> int:
        """About: 12 C^2 in a block of the encoder, 16 C^2 in one of the decoder."""
        return 28 * size.width**2 * size.num_blocks

    def reasons(self, plan: Plan) -> dict[str, str]:
        pairs = f"{self.num_pairs:,} pairs"
        size = f"the largest that {pairs} are enough for"
        if self.step_seconds is not None:
            enough = plan.passes >= PASSES
            size = "the largest that passes" if enough else "the smallest, which passes most often"
            size += f" over {pairs}" + " often enough" * enough + self.seconds_of_a_step(plan)
        return {
            "lr": "for batches of this size",
            "embedding_dim": size,
            "num_blocks": size,
            "r_drop": f"{plan.passes:.3g} passes over {pairs}",
            "dropout": f"usual for {pairs}",
            "batch_size": f"{self.num_pairs / self.base.batch_size:,.0f} steps for each pass",
            "block_size": "the longest source or target",
        }


def _longest(pairs: Any) -> int:
    sides = (
        (pairs.tokenizer.source.split, pairs.sources),
        (pairs.tokenizer.target.split, pairs.targets),
    )
    return max(len(split(text)) for split, texts in sides for text in texts)


def _batch_size(num_pairs: int) -> int:
    """The nearest power of two."""
    nearest = 2 ** round(math.log2(num_pairs / STEPS_PER_PASS))
    return min(max(nearest, LEAST_BATCH), MOST_BATCH)


def _lr(usual: float, batch_size: int) -> float:
    """It grows with the root of the batch, up to the usual one."""
    return float(f"{usual * min(1.0, math.sqrt(batch_size / USUAL_BATCH)):.2g}")


def _dropout(num_pairs: int) -> float:
    return 0.1 if num_pairs >= MANY_PAIRS else 0.3
