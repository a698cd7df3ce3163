"""Figures in docs/results.md, docs/sweeps.md and README.md are those of their files."""

import json
from collections.abc import Iterable
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

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


def test_the_errors_of_the_law_are_those_of_its_fit(load_benchmark):
    record = load_benchmark("record")
    fitted = figures("law", record.RESULTS / record.only_folder("law"))
    text = text_of("docs/results.md")
    assert f"are fitted to {len(fitted['errors']['new text'])} runs" in text
    assert f"so a run says +- {2 * ERROR:.2f}" in text
    most = max(map(abs, fitted["errors"]["fitted"]))
    assert f"and the losses are off by {most:.2f} at most" in text
    farthest = max(abs(value - LAW.floor) for value in fitted["texts"].values())
    assert f"the mean of these constants, which is {farthest:.2f} away at most" in text


def test_losses_on_a_third_split_stand_where_they_were_measured(load_benchmark):
    recipes = load_benchmark("recipes")
    row = {"val_loss": 1.5, "test_loss": 1.25, "runs": [{}, {}]}
    rows = {"worse.yaml": row | {"test_loss": 1.75}, "better.yaml": row}
    *_, first, second = recipes.tested_table(rows).splitlines()
    assert first == "| `better.yaml` | 2 | 1.500 | 1.250 |"
    assert second == "| `worse.yaml` | 2 | 1.500 | 1.750 |"
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    for path in RESULTS.parent.glob(f"*/{recipes.TESTED}.json"):
        assert recipes.tested_table(figures(recipes.TESTED, path.parent)) in page


PLANNED = {
    "topics-200k": "Python's documentation, 200,000 characters",
    "shakespeare-100k": "Tiny Shakespeare, 100,000 characters",
    "shakespeare-1m": "Tiny Shakespeare, 1,000,000 characters",
    "chinese-200k": "Chinese reviews of books, 200,000 characters",
}
PROCESSORS = {
    "AMD EPYC without bf16": "amd-epyc-avx2",
    "Intel Xeon with AMX": "intel-xeon-avx512-bf16-amx",
}


@pytest.mark.parametrize("processor", PROCESSORS)
def test_plans_stand_beside_the_best_of_their_random_runs(processor):
    rows = figures("plans", RESULTS.with_name(PROCESSORS[processor]))
    page = text_of("docs/results.md")
    for row in rows:
        if row["config"] != "auto" or row["text"] not in PLANNED:  # pairs have a score of their own
            continue
        assert row["num_threads"] == 1
        same = {key: row[key] for key in ("text", "minutes", "num_threads")}
        others = [each["val_loss"] for each in rows if same.items() <= each.items()]
        others.remove(row["val_loss"])
        best = f"{min(others):.3f} of {len(others)}" if others else ""
        cells = (
            *(PLANNED[row["text"]], processor, f"{row['minutes']:g}", f"{row['val_loss']:.3f}"),
            *(best, f"{row['expected']:.2f}", f"{row['seconds'] / 60:.2f}"),
        )
        assert " ".join(f"| {' | '.join(cells)} |".split()) in page
        if row["minutes"] == 30:
            assert f"the last validation was {row['rise']:.3f} above the best one" in page


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


def test_long_runs_stand_where_they_are_told():
    rows = figures("long_runs", RESULTS.with_name("intel-xeon-avx512-bf16-amx"))
    half_hour = rows["configs/half-hour.yaml"]
    text = text_of("docs/results.md")
    said = f"reaches {half_hour['val_loss']:.3f} on Tiny Shakespeare after"
    assert f"{said} {half_hour['corpus_passes']:.1f} passes" in text
    assert f"val_loss {half_hour['val_loss']:.3f} on" in text_of("configs/half-hour.yaml")
    wide, narrow = (row for name, row in rows.items() if name.startswith("one thread"))
    assert f"({wide['val_loss']:.3f} after {wide['corpus_passes']:.1f} passes)" in text
    assert f"with dropout of 0.15, had {narrow['val_loss']:.3f}" in text
