"""Successive halving beside random search in equal total time: `python benchmarks/halving.py`

Replays the package's own searches on the runs that `halving_pool.py` has recorded: both draw
configs of the pool, and each trial "trains" by a look at what its config reached in its time. A
time is the share of the sweep's minutes that the search gives to a trial, as with `--minutes`; the
pool has turned it into steps with the measured time of each config's step. Halving begins with 27
configs, and ends with one run of the longest time. Random search has as many runs of that time as
the whole halving takes. Ten tries, with other seeds for both; a thousand more say how often such
tries end so.
"""

import argparse
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from halving_pool import BUDGETS, NAME, NUM_CONFIGS
from record import load, save
from tabulate import tabulate

from transformer.sweep.plan import Plan
from transformer.sweep.searches.base import Search
from transformer.sweep.searches.halving import Halving
from transformer.sweep.searches.random import Random
from transformer.sweep.space import Choice
from transformer.sweep.trial import Result, Trial

TRIES, MORE_TRIES = 10, 1000
RANDOM_SEEDS = 10_000  # the first seed of random search
HALVED = 27  # configs: as many as need all four times of the pool
TOTAL = len(BUDGETS) * HALVED  # in units of the shortest time: each rung takes as long
KEY = "config"  # of the pool, by its number
Losses = Mapping[tuple[int, int], float]  # by number and time


def plan_of(search: type[Search], runs: int, seed: int) -> Plan:
    """Of TOTAL minutes: a minute stands for the shortest time of the pool."""
    return Plan(
        base={"seed": seed, "max_steps": None},
        search=search.name,
        space={KEY: Choice(tuple(range(NUM_CONFIGS)))},
        runs=runs,
        minutes=float(TOTAL),
    )


def result_of(trial: Trial, losses: Losses) -> Result:
    place = trial.settings[KEY], round(trial.limit["max_minutes"])
    return Result(trial, None, losses[place], {}, None)


def replay(search: Search, losses: Losses) -> Result:
    """The best result of the whole search."""
    found: dict[str, Result] = {}
    while missing := [t for t in search.trials(list(found.values())) if t.name not in found]:
        found |= {trial.name: result_of(trial, losses) for trial in missing}
    assert sum(result.trial.limit["max_minutes"] for result in found.values()) == TOTAL
    return min(found.values(), key=lambda result: result.loss or 0.0)


def compare(seed: int, losses: Losses) -> dict[str, Any]:
    halving = replay(Halving(plan_of(Halving, HALVED, seed)), losses)
    runs = TOTAL // BUDGETS[-1]
    random = replay(Random(plan_of(Random, runs, RANDOM_SEEDS + seed)), losses)
    return {
        "seed": seed,
        "halving": halving.loss,
        "random": random.loss,
        "halving_config": halving.trial.settings[KEY],
        "random_config": random.trial.settings[KEY],
    }


def counts(tries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        "tries": len(tries),
        "halving_better": sum(each["halving"] < each["random"] for each in tries),
        "the_same_config": sum(each["halving"] == each["random"] for each in tries),
        "mean_halving": fmean(each["halving"] for each in tries),
        "mean_random": fmean(each["random"] for each in tries),
    }


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    rows = load(NAME)["figures"]
    losses = {(row["config"], row["budget"]): row["val_loss"] for row in rows}
    tries = [compare(seed, losses) for seed in range(TRIES + MORE_TRIES)]
    figures = {
        "total_time": f"{TOTAL // BUDGETS[-1]} of the longest runs",
        "best_of_pool": min(losses.values()),
        "each_try": tries[:TRIES],
        **counts(tries[:TRIES]),
        "more": counts(tries[TRIES:]),
    }
    print(tabulate(tries[:TRIES], "keys", floatfmt=".4f"))
    print(counts(tries[:TRIES]), counts(tries[TRIES:]), sep="\n")
    save("halving", figures)


if __name__ == "__main__":
    main()
