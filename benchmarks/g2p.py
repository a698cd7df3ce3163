"""Measures the error rates of a run of configs/g2p.yaml: `python benchmarks/g2p.py RUN`.

Writes to g2p.json: the error rates on the test split from `evaluate.py`, greedy and with a
beam of 5; the greedy error rates in each number format; and the learning curve from the run's
events. To make the run: `python train.py --config configs/g2p.yaml`.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from record import ROOT, save
from tabulate import tabulate

from transformer.config.groups import taken
from transformer.data.pairs.reading import read_pairs
from transformer.data.pairs.settings import PairSettings
from transformer.evaluation.pairs import score_translations
from transformer.generation.number_formats import FORMATS
from transformer.generation.translation import load_translator
from transformer.storage.events import read_scalars

CURVES = ("val_loss", "val_word_error_rate", "val_unit_error_rate")
BEAMS = (1, 5)
NUM_POINTS = 6  # of the learning curve, in docs/pairs.md


def evaluated(run: Path, num_beams: int) -> dict[str, Any]:
    command = [sys.executable, str(ROOT / "evaluate.py"), str(run), "--json"]
    command += ["--num_beams", str(num_beams)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return json.loads(answer.stdout)


def by_format(run: Path) -> dict[str, float]:
    """Word error rates on the test split, greedy, in each number format of generate.py."""
    rates = {}
    for number_format in FORMATS:
        translator = load_translator(run / "model.safetensors", "cpu", number_format)
        assert translator.saved is not None
        keys = translator.saved.config
        pairs = read_pairs(ROOT / keys["data_path"], taken(PairSettings, keys))
        splits = pairs.split(keys["val_fraction"], keys["test_fraction"])
        answers = pairs.answers(splits.test)
        score = score_translations(
            translator.tokenizer, translator.translate(list(answers)), answers
        )
        rates[number_format] = score.rates.word_error_rate
    return rates


def learning_curve(run: Path) -> list[dict[str, float]]:
    """For each validation: its step, the seconds since the first event, and its metrics."""
    points: dict[int, dict[str, float]] = {}
    for name, curve in read_scalars(run, CURVES).items():
        for step, seconds, value in curve:
            point = points.setdefault(step, {"step": step})
            point |= {"seconds": round(seconds, 1), name: value}
    return [points[step] for step in sorted(points)]


def table(figures: dict[str, Any]) -> str:
    """The table of error rates on the test split in docs/pairs.md, in percent with intervals."""
    rows = []
    for beams, report in figures["test"].items():
        for name, rates in report["scores"].items():
            shown = [
                "{:.2f} ({:.2f} to {:.2f})".format(
                    *(
                        100 * rate
                        for rate in (rates[f"{kind}_error_rate"], *rates[f"{kind}_error_interval"])
                    )
                )
                for kind in ("word", "unit")
            ]
            rows.append((f"{beams}, {name}", *shown))
    header = ("test split, phones", "words wrong, %", "phones wrong, %")
    return tabulate(rows, header, tablefmt="pipe", disable_numparse=True)


def curve_table(figures: dict[str, Any]) -> str:
    """The learning curve in docs/pairs.md: a few points, on part of the validation split."""
    points = figures["learning_curve"]
    chosen = [points[len(points) * (number + 1) // NUM_POINTS - 1] for number in range(NUM_POINTS)]
    columns = [
        ("minutes", *(f"{point['seconds'] / 60:.0f}" for point in chosen)),
        ("step", *(f"{point['step']:,}" for point in chosen)),
        ("words wrong, %", *(f"{100 * point['val_word_error_rate']:.1f}" for point in chosen)),
    ]
    return tabulate(columns[1:], columns[0], tablefmt="pipe", disable_numparse=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    run = parser.parse_args().run.resolve()
    summary = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    kept = ("num_parameters", "elapsed_seconds", "step", "corpus_passes", "precision", "device")
    reports = {
        ("greedy" if beams == 1 else f"beam {beams}"): evaluated(run, beams) for beams in BEAMS
    }
    for report in reports.values():
        del report["checkpoint"], report["data_path"]
    figures = {
        "run": {name: summary[name] for name in (*kept, *CURVES)},
        "test": reports,
        "word_error_rate_by_format": by_format(run),
        "learning_curve": learning_curve(run),
    }
    print(f"{table(figures)}\n\n{curve_table(figures)}")
    print(save("g2p", figures))


if __name__ == "__main__":
    main()
