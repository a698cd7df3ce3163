"""Draws each combination where earlier results promise most, through Optuna. No torch.

The tree-structured Parzen estimator of Bergstra et al. 2011 ("Algorithms for hyper-parameter
optimization"): it splits the results into good and bad ones, and draws where the density of the
good ones is high against that of the bad ones.
"""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

from transformer.sweep.plan import Plan
from transformer.sweep.searches.base import Search
from transformer.sweep.searches.shares import equal_limit
from transformer.sweep.trial import Result, Trial
from transformer.system.packages import check_installed

if TYPE_CHECKING:
    from optuna import Study

_WAY_OUT = "pip install -r requirements-sweep.txt, or give --search random"
MOST_RANDOM, RANDOM_SHARE = 10, 1 / 3  # the first combinations, from which the others learn


class TpeSearch(Search):
    """Asks for one combination for each process; the next round knows their losses.

    There is no database: a new search tells Optuna all results again, and each question has a
    random generator of its own, seeded by the question's number. A combination's loss is the mean
    over its seeds. If a combination is proposed twice, it is not trained twice.
    """

    name = "tpe"
    about = "--runs combinations, drawn where earlier results promise most (Optuna)"

    def __init__(self, plan: Plan) -> None:
        """Raises: UserError if Optuna is not installed, too."""
        super().__init__(plan)
        self._runs = self.with_runs()
        self._limit = equal_limit(plan, self._runs * plan.seeds)
        check_installed("the search tpe", ("optuna",), _WAY_OUT)
        self._begin()

    def trials(self, results: Sequence[Result]) -> Sequence[Trial]:
        losses = {result.trial.name: result.loss for result in results}
        if self._known(losses)[: len(self._in_study)] != self._in_study:
            self._begin()  # there are other results than before
        while True:
            known = self._known(losses)
            for place in range(len(self._in_study), len(known)):
                for (question, _), loss in zip(self._rounds[place], known[place], strict=True):
                    self._study.tell(question, loss)
            self._in_study = known
            if len(known) < len(self._rounds) or not (asked := self._next_round()):
                break
            self._rounds.append(asked)
        trials = [trial for asked in self._rounds for _, own in asked for trial in own]
        return list({trial.name: trial for trial in trials}.values())

    def _begin(self) -> None:
        """What is kept between two calls saves time alone: the same can be asked again."""
        self._study = _study()
        self._rounds: list[list[tuple[Any, list[Trial]]]] = []  # the questions with their trials
        self._in_study: list[list[float]] = []  # the losses that it knows, of whole rounds

    def _known(self, losses: Mapping[str, float | None]) -> list[list[float]]:
        """The losses of the first rounds, up to one that is not complete."""
        known = []
        for asked in self._rounds:
            if any(trial.name not in losses for _, trials in asked for trial in trials):
                break
            known.append([_mean([losses[trial.name] for trial in trials]) for _, trials in asked])
        return known

    def _next_round(self) -> list[tuple[Any, list[Trial]]]:
        """Empty if all combinations are asked for."""
        distributions = {key: values.distribution() for key, values in self.plan.space.items()}
        first = sum(map(len, self._rounds))
        asked = []
        for number in range(first, min(first + self.plan.processes, self._runs)):
            self._study.sampler = _sampler(self.plan, number)
            question = self._study.ask(distributions)
            asked.append((question, self._trials_of(question.params)))
        return asked

    def _trials_of(self, params: Mapping[str, Any]) -> list[Trial]:
        settings = {key: values.from_drawn(params[key]) for key, values in self.plan.space.items()}
        return self.with_each_seed([settings], self._limit)


def _study() -> "Study":
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study()


def _sampler(plan: Plan, number: int) -> Any:
    from optuna.samplers import TPESampler

    random = min(MOST_RANDOM, max(1, int(RANDOM_SHARE * (plan.runs or 0))))
    return TPESampler(seed=1000 * plan.base["seed"] + number, n_startup_trials=random)


def _mean(losses: Sequence[float | None]) -> float:
    """Infinite if one of them failed, so that the next combinations keep away from there."""
    return fmean(math.inf if loss is None or math.isnan(loss) else loss for loss in losses)
