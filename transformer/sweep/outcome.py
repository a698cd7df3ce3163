"""What a sweep leaves behind: its table, results.json, sweep.png and TensorBoard's HParams."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from transformer.sweep.ensemble import Together, ensemble_facts, ensemble_table
from transformer.sweep.hparams import write_hparams
from transformer.sweep.picture import write_picture
from transformer.sweep.plan import Plan
from transformer.sweep.report import facts, table
from transformer.sweep.trial import Result
from transformer.system.files import write_text

RESULTS, PICTURE = Path("results.json"), Path("sweep.png")


class Outcome(NamedTuple):
    table: str
    facts: dict[str, Any]


def write_outcome(
    plan: Plan, results: Sequence[Result], folder: Path, ensembles: Sequence[Together] = ()
) -> Outcome:
    """Writes the files into the sweep's folder; the table is for a person to read."""
    text, figures = table(plan, results), facts(plan, results)
    if ensembles:
        text += f"\n\n{ensemble_table(ensembles)}"
        figures["ensembles"] = ensemble_facts(ensembles)
    write_text(folder / RESULTS, json.dumps(figures, indent=2, ensure_ascii=False) + "\n")
    write_picture(plan, results, folder / PICTURE)
    write_hparams(results, plan.metric)
    return Outcome(text, figures)
