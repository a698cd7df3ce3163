"""Figures in docs/results.md, docs/sweeps.md and README.md are those of their files."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from statistics import fmean
from typing import Any

from transformer.run.planning.law import ERROR, LAW

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "amd-epyc-avx2"


def figures(name: str, folder: Path = RESULTS) -> Any:
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))["figures"]


def text_of(path: str) -> str:
    """In one line."""
    return " ".join((ROOT / path).read_text(encoding="utf-8").split())


def mean_loss(rows: Iterable[dict[str, Any]]) -> float:
    return fmean(row["val_loss"] for row in rows)


def test_the_errors_of_the_law_are_those_of_its_fit():
    (path,) = RESULTS.parent.glob("*/law.json")
    fitted = figures("law", path.parent)
    text = text_of("docs/results.md")
    assert f"are fitted to {len(fitted['errors']['new text'])} runs" in text
    assert f"so a run says +- {2 * ERROR:.2f}" in text
    farthest = max(abs(value - LAW.floor) for value in fitted["texts"].values())
    assert f"the mean of these constants, which is {farthest:.2f} away at most" in text


def test_plans_stand_beside_the_best_of_their_random_runs():
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    names = {"topics-200k": "Python's documentation, 200,000", "shakespeare-100k": "Tiny Shakes"}
    for text, name in names.items():
        rows = [row for row in figures("plans") if row["text"] == text]
        (planned,) = [row for row in rows if row["config"] == "auto"]
        others = [row["val_loss"] for row in rows if row["config"] != "auto"]
        (shown,) = re.findall(rf"\| {name}.*? \|(.*?) \|(.*?) \|(.*?) \|(.*?) \|", page)
        assert [cell.strip() for cell in shown] == [
            f"{planned['val_loss']:.3f}",
            f"{min(others):.3f}" if len(others) == 12 else "",
            f"{planned['expected']:.2f}",
            f"{planned['seconds'] / 60:.2f}",
        ]


def test_the_default_is_compared_with_its_former_shape_in_equal_time():
    rows = figures("default_shape")
    wide, deep = (mean_loss(r for r in rows if r["shape"] == name) for name in ("wide", "deep"))
    said = f"In its time, {wide:.3f} on Tiny Shakespeare, the present one reaches {deep:.3f}"
    assert said in text_of("docs/results.md")
    assert f"reaches {deep:.2f} in place of {wide:.2f}" in text_of("CHANGELOG.md")
    (longer,) = figures("half_hour")
    assert f"R-Drop reached {longer['val_loss']:.3f} after" in text_of("docs/results.md")


def test_averaged_seeds_reach_what_their_file_says():
    (row,) = figures("averaged")
    loss, minutes = f"{row['loss']:.3f}", f"{sum(row['seconds']) / 60:.0f} minutes"
    least, most = min(row["losses"]), max(row["losses"])
    sweeps, readme = text_of("docs/sweeps.md"), text_of("README.md")
    assert (
        f"reached {least:.3f} to {most:.3f} on Tiny Shakespeare, and **{loss}** together" in sweeps
    )
    assert f"They took {minutes} of one thread" in sweeps
    assert f"reach **{loss}** together, on the first processor in {minutes} of one core" in readme
    assert f"reach {loss} in that time" in text_of("docs/results.md")
