"""What the seeds of a combination reach together: one model that averages their probabilities."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tabulate import tabulate

from transformer.config.flags import check_flags
from transformer.evaluation.options import EvaluateOptions
from transformer.storage.run_folder import WEIGHTS
from transformer.sweep.comparison import Combination, combinations_of, ranked
from transformer.sweep.trial import Result, in_words


@dataclass(frozen=True)
class AveragedScore:
    """The exact loss of the averaged model, and the mean of its members' losses."""

    settings: Mapping[str, Any]
    limit: Mapping[str, Any]
    seeds: Sequence[int]
    loss: float
    mean: float

    @property
    def gain(self) -> float:
        return self.mean - self.loss


def score_ensembles(
    results: Sequence[Result], tell: Callable[[str], None] = lambda _: None
) -> list[AveragedScore]:
    """The combinations of which two seeds or more have ended, the best single models first.

    `tell` gets a line for each.
    """
    found = []
    for one in ranked(combinations_of(results)):
        if len(one.losses) > 1:
            found.append(_score(one))
            tell(f"averaged: {one.label}: {found[-1].loss:z.4f}")
    return found


def _score(one: Combination) -> AveragedScore:
    """As `python evaluate.py A B --split validation`."""
    from transformer.evaluation.members import AVERAGED
    from transformer.evaluation.text import MEAN
    from transformer.evaluation.text_report import report_on_text
    from transformer.storage.averaged import load_models

    ended = [result for result in one.results if result.trial.seed in one.losses and result.run]
    saved = load_models([result.run / WEIGHTS for result in ended if result.run])
    options = check_flags(EvaluateOptions, {"split": "validation"})
    scores = report_on_text(saved, options)["scores"]
    seeds = [result.trial.seed for result in ended]
    return AveragedScore(
        one.settings, one.limit, seeds, scores[AVERAGED]["loss"], scores[MEAN]["loss"]
    )


def ensemble_table(found: Sequence[AveragedScore]) -> str:
    lines = [
        (
            in_words(one.settings),
            len(one.seeds),
            *(f"{x:z.4f}" for x in (one.mean, one.loss, one.gain)),
        )
        for one in found
    ]
    header = ("combination", "models", "mean of their losses", "averaged", "gain")
    align = ("left", *["right"] * 4)
    text = tabulate(lines, header, disable_numparse=True, colalign=align)
    return f"{text}\naveraged: val_loss of the mean of the models' probabilities"


def ensemble_facts(found: Sequence[AveragedScore]) -> list[dict[str, Any]]:
    return [asdict(one) | {"gain": one.gain} for one in found]
