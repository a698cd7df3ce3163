"""Is a race's best candidate the best at the end, too? `python benchmarks/races.py TEXT ...
[--minutes M]`

Trains all candidates of a race to the end, each as if it had been alone. `races.json` keeps what
each showed in the race and what it reached. The plan's error, beside the mean of the text's
candidates, is compared with the surprise that the race showed in the same way: the outlook in
`run/planning/race.py` takes it that the slope is 1. A text is the name of a piece in `plans.py`.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from plans import TEXTS
from record import ROOT, make_missing, recorded
from tabulate import tabulate

from transformer.config.drafts import read_draft
from transformer.config.files import load_config
from transformer.run.fit import train
from transformer.run.planning.planned import make_planner
from transformer.run.planning.race import MOST_CANDIDATES, RACE_SHARE, Entry, Placed, legs
from transformer.storage.run_folder import CONFIG, LAST
from transformer.system.cores import available_cores
from transformer.system.files import write_text

NAME = "races"


def race_of(path: Path, minutes: float, runs_dir: Path) -> list[Placed]:
    """As a race of ten minutes or more is, but for any number."""
    flags = {"data_path": path, "max_minutes": minutes, "runs_dir": runs_dir, "run_name": "r"}
    flags["num_threads"] = available_cores()
    draft = read_draft(ROOT / "configs" / "auto.yaml", {k: str(v) for k, v in flags.items()})
    planner = make_planner(draft)
    plans = planner.candidates(minutes, MOST_CANDIDATES)
    seconds = 60 * minutes * RACE_SHARE / len(plans)
    return legs([Entry(planner.config_of(plan), plan, planner, seconds) for plan in plans], train)


def row_of(placed: Placed) -> dict[str, Any]:
    plan = placed.entry.plan
    train(load_config(placed.folder / CONFIG), placed.folder / LAST)
    summary = json.loads(Path(placed.folder, "summary.json").read_text(encoding="utf-8"))
    return {
        **plan.size.keys,
        **plan.recipe,
        **{"predicted": plan.predicted, "race_steps": placed.steps, "race_loss": placed.val_loss},
        "expected_in_race": placed.entry.planner.after(plan, placed.steps),
        **{name: summary[name] for name in ("step", "val_loss")},
    }


def make(race: dict[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as home:
        path = Path(home, f"{race['text']}.txt")
        write_text(path, TEXTS[race["text"]]())
        placed = race_of(path, race["minutes"], Path(home))
        return race | {"candidates": [row_of(each) for each in placed]}


def report(races: list[dict[str, Any]]) -> None:
    shown, left = [], []
    for race in races:
        rows = race["candidates"]
        surprises = np.array([row["race_loss"] - row["expected_in_race"] for row in rows])
        errors = np.array([row["val_loss"] - row["predicted"] for row in rows])
        shown += [*(surprises - surprises.mean())]
        left += [*(errors - errors.mean())]
        names = ("embedding_dim", "num_blocks", "dropout", "predicted", "val_loss")
        table = [
            [*(row[name] for name in names), surprise]
            for row, surprise in zip(rows, surprises, strict=True)
        ]
        print(f"{race['text']}, {race['minutes']:g} minutes")
        print(tabulate(table, (*names, "surprise"), floatfmt=".3f"), flush=True)
    weight = np.dot(shown, left) / np.dot(shown, shown)
    scatter = (float(np.std(values)) for values in (shown, left))
    print("surprises' and errors' scatter: {:.3f}, {:.3f}".format(*scatter), f"slope: {weight:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("texts", nargs="*", choices=[[], *TEXTS], metavar="TEXT")
    parser.add_argument("--minutes", type=float, default=3.0)
    arguments = parser.parse_args()
    if not (arguments.texts or recorded(NAME)):
        parser.error("name a text: no race is recorded here")
    races = [{"text": text, "minutes": arguments.minutes} for text in arguments.texts]
    make_missing(NAME, races, make)
    report(recorded(NAME))


if __name__ == "__main__":
    main()
