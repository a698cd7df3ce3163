"""What a sweep leaves behind: its table, results.json, sweep.png and TensorBoard's HParams."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from transformer.sweep import picture, report
from transformer.sweep.ensemble import AveragedScore, ensemble_facts, ensemble_table
from transformer.sweep.hparams import write_hparams
from transformer.sweep.plan import Plan
from transformer.sweep.scaling import picture as scaling_picture
from transformer.sweep.scaling import report as scaling_report
from transformer.sweep.searches.scaling import ScalingSearch
from transformer.sweep.trial import Result
from transformer.system.files import write_text

RESULTS, PICTURE = Path("results.json"), Path("sweep.png")


class Report(NamedTuple):
    """How the results of a kind of search are written."""

    table: Callable[[Plan, Sequence[Result]], str]
    facts: Callable[[Plan, Sequence[Result]], dict[str, Any]]
    write_picture: Callable[[Plan, Sequence[Result], Path], None]


COMPARISON = Report(report.table, report.facts, picture.write_picture)
# Those of searches that compare no combinations.
REPORTS = {
    ScalingSearch.name: Report(
        scaling_report.table, scaling_report.facts, scaling_picture.write_picture
    )
}


class Outcome(NamedTuple):
    table: str
    facts: dict[str, Any]


def write_outcome(
    plan: Plan, results: Sequence[Result], folder: Path, ensembles: Sequence[AveragedScore] = ()
) -> Outcome:
    """Writes the files into the sweep's folder; the table is for a person to read."""
    kind = REPORTS.get(plan.search, COMPARISON)
    text, figures = kind.table(plan, results), kind.facts(plan, results)
    if ensembles:
        text += f"\n\n{ensemble_table(ensembles)}"
        figures["ensembles"] = ensemble_facts(ensembles)
    write_text(folder / RESULTS, json.dumps(figures, indent=2, ensure_ascii=False) + "\n")
    kind.write_picture(plan, results, folder / PICTURE)
    write_hparams(results, plan.metric)
    return Outcome(text, figures)
