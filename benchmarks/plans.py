"""How good are the plans of configs/auto.yaml, and how true? `python benchmarks/plans.py TEXT ...
[--minutes M] [--random N] [--processes 2]`

A text is the name of a piece in TEXTS, or a file. For each, whole processes of train.py run for
the same minutes: one that is planned, and N whose config is drawn at random around
configs/default.yaml (DRAWN). PAIRS are seeded samples of CMUdict's words, with plans of
configs/auto-pairs.yaml and draws around configs/g2p.yaml. As a validation split of some hundred
words tells models badly apart, OTHER_WORDS that no run has seen are scored too: those of the
planned run beside those of the draw that is best on validation. With `--processes`, so many run at
a time and share the cores. `plans.json` keeps what each reached, and a run that it has is not made
again.
"""

import argparse
import json
import math
import pydoc_data.topics
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from pair_runs import words
from record import ROOT, make_missing, recorded
from tabulate import tabulate
from tokenizer_runs import path_of

from transformer.storage.curves import VAL_LOSS, read_curves
from transformer.system.cores import available_cores
from transformer.system.files import write_text

NAME = "plans"


def shakespeare() -> str:
    return path_of("tiny").read_text(encoding="utf-8")


def python_documentation() -> str:
    topics = pydoc_data.topics.topics
    return "".join(topics[key] for key in sorted(topics))


TEXTS: dict[str, Callable[[], str]] = {
    "shakespeare-100k": lambda: shakespeare()[:100_000],
    "shakespeare-1m": lambda: shakespeare()[:1_000_000],
    "topics-200k": lambda: python_documentation()[:200_000],
    # No recipe was tuned on it, but the form of the law was: see docs/results.md.
    "chinese-200k": lambda: path_of("chinese").read_text(encoding="utf-8")[:200_000],
}
PAIRS = {"cmudict-8000": 8_000}  # words
OTHER_WORDS = 5_000
HEAD_DIM = 32
Draws = dict[str, Callable[[random.Random], Any]]
# What a user would vary, in the ranges that guides to small models name.
DRAWN: Draws = {
    "embedding_dim": lambda rng: HEAD_DIM * rng.choice((2, 3, 4, 5, 6, 8)),
    "num_blocks": lambda rng: rng.randint(2, 6),
    "block_size": lambda rng: rng.choice((64, 128, 256)),
    "batch_size": lambda rng: rng.choice((8, 12, 16, 32, 64)),
    "lr": lambda rng: float(f"{10 ** rng.uniform(-2.5, -1.5):.4g}"),
    "dropout": lambda rng: round(rng.uniform(0, 0.3), 2),
    "weight_decay": lambda rng: float(f"{10 ** rng.uniform(-2, 0):.4g}"),
}
DRAWN_FOR_PAIRS: Draws = {
    "embedding_dim": lambda rng: HEAD_DIM * rng.choice((2, 3, 4, 6, 8)),
    "num_blocks": lambda rng: rng.randint(1, 4),
    "batch_size": lambda rng: rng.choice((32, 64, 128, 256)),
    **{key: DRAWN[key] for key in ("lr", "weight_decay")},
    "dropout": lambda rng: round(rng.uniform(0.05, 0.3), 2),  # which R-Drop needs
    "r_drop": lambda rng: rng.choice((0.0, 1.0)),
}
NAMES = ", ".join((*TEXTS, *PAIRS))
OTHERS = "others_word_error_rate"
EXPECTED = re.compile(r"^expected: val_loss ([\d.]+)", re.MULTILINE)


class Kind(NamedTuple):
    """The config that plans, the one that draws change, and the score that is compared."""

    planned: str
    base: str
    draws: Draws
    keys: dict[str, Any]
    score: str

    def drawn(self, number: int) -> dict[str, Any]:
        rng = random.Random(number)
        keys = {key: draw(rng) for key, draw in self.draws.items()}
        width = keys["embedding_dim"]
        return keys | {"num_heads": width // HEAD_DIM, "feedforward_dim": 8 * width // 3 // 32 * 32}


OF_TEXTS = Kind("auto", "default", DRAWN, {}, "val_loss")
OF_PAIRS = Kind(
    *("auto-pairs", "g2p", DRAWN_FOR_PAIRS),
    {"target_units": "words", "source_units": "characters"},
    "val_word_error_rate",
)


def kind_of(text: str) -> Kind:
    return OF_PAIRS if text in PAIRS else OF_TEXTS


def train(path: Path, run: dict[str, Any]) -> dict[str, Any]:
    """In a process of its own; what it reached, and in how many seconds."""
    with tempfile.TemporaryDirectory() as home:
        kind = kind_of(run["text"])
        keys = {"data_path": path, "max_minutes": run["minutes"], "runs_dir": home, "run_name": "r"}
        keys |= {"num_threads": run["num_threads"]} | kind.keys
        config = kind.planned
        if run["config"] != "auto":
            config = kind.base
            keys |= {"max_steps": "none", "val_every_steps": "auto"} | run["config"]
        command = [sys.executable, f"{ROOT}/train.py", "--config", f"{ROOT}/configs/{config}.yaml"]
        command += [part for key, value in keys.items() for part in (f"--{key}", str(value))]
        started_at = time.perf_counter()
        done = subprocess.run(command, check=True, capture_output=True, encoding="utf-8")
        seconds = time.perf_counter() - started_at
        (ended,) = Path(home, "r").glob("*/summary.json")  # a race leaves other folders
        summary = json.loads(ended.read_text(encoding="utf-8"))
        losses = [point.value for point in read_curves(ended.parent)[VAL_LOSS]]
        others = {OTHERS: words_wrong(run["text"], ended.parent)} if run["text"] in PAIRS else {}
    found = EXPECTED.search(done.stdout)
    names = dict.fromkeys(("val_loss", kind.score, "best_step", "step", "num_parameters"))
    return (
        run
        | {name: summary[name] for name in names}
        | {
            "expected": float(found[1]) if found else None,
            "seconds": seconds,
            "rise": losses[-1] - min(losses),  # of the validations, since the best one
        }
        | others
    )


def words_wrong(text: str, run: Path) -> float:
    """The share of OTHER_WORDS for which the best model of a run writes anything else."""
    path = run / "others.tsv"
    write_text(path, words(PAIRS[text], OTHER_WORDS))
    command = [sys.executable, f"{ROOT}/evaluate.py", str(run), "--data_path", str(path), "--json"]
    done = subprocess.run(command, check=True, capture_output=True, encoding="utf-8")
    return json.loads(done.stdout)["scores"]["as they are"]["word_error_rate"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("texts", nargs="+", metavar="TEXT", help=f"{NAMES}, or a file")
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--random", type=int, default=12, help="how many configs are drawn")
    parser.add_argument("--processes", type=int, default=1, help="that run at a time")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        for text in arguments.texts:
            path = Path(text)
            if text in TEXTS or text in PAIRS:
                path = Path(home, f"{text}.txt")
                write_text(path, TEXTS[text]() if text in TEXTS else words(PAIRS[text]))
            compare(path, arguments.minutes, arguments.random, arguments.processes)


def compare(path: Path, minutes: float, number: int, processes: int) -> None:
    threads = max(1, available_cores() // processes)
    same = {"text": path.stem, "minutes": minutes, "num_threads": threads}
    configs = "auto", *map(kind_of(path.stem).drawn, range(number))
    runs = [same | {"config": config} for config in configs]
    make_missing(NAME, runs, partial(train, path.absolute()), processes)
    report([row for row in recorded(NAME) if same.items() <= row.items()])


def report(rows: list[dict[str, Any]]) -> None:
    (planned,) = [row for row in rows if row["config"] == "auto"]
    score = kind_of(planned["text"]).score
    drawn = [row for row in rows if row["config"] != "auto"]
    best = min(drawn, key=lambda row: row[score], default={score: math.nan, OTHERS: math.nan})
    figures = {
        f"{score} of auto": planned[score],
        f"best of {len(drawn)} at random": best[score],
        "auto - best": planned[score] - best[score],
        "expected by the plan": planned["expected"],
        "last validation - best": planned["rise"],
        "real minutes": planned["seconds"] / 60,
    }
    if OTHERS in planned:
        figures |= {
            f"{OTHERS} of auto": planned[OTHERS],
            "of the best at random": best.get(OTHERS, math.nan),
        }
    print(f"{planned['text']}, {planned['minutes']:g} minutes, {planned['num_threads']} threads")
    print(tabulate(figures.items(), floatfmt=".3f"), flush=True)


if __name__ == "__main__":
    main()
