"""Trains the runs from which the rules for plans of pairs come: `python benchmarks/pair_runs.py`

Each run is a whole schedule of g2p.yaml's recipe, with another size, dropout or number of steps, on
a seeded sample of CMUdict's words; `pair_runs.json` keeps what each reached, and a run that it has
is not made again.
"""

import argparse
import json
import random
import tempfile
import time
from pathlib import Path
from typing import Any

from record import ROOT, built_in, make_missing

from transformer.config.files import load_config
from transformer.data.built_in.registry import read_source
from transformer.run.fit import train
from transformer.system.files import write_text
from transformer.system.terminal import quiet_libraries, quietly

SMALL = {"embedding_dim": 128, "num_heads": 4, "num_blocks": 3, "batch_size": 64}
# Words, steps, and changes of g2p.yaml.
RUNS: list[tuple[int, int, dict[str, Any]]] = [
    (8000, 400, {**SMALL, "dropout": 0.2, "r_drop": 0}),
    (8000, 800, {**SMALL, "dropout": 0.2, "r_drop": 0}),
    (8000, 400, {**SMALL, "dropout": 0.2}),
    (8000, 1600, {**SMALL, "dropout": 0.2, "r_drop": 0}),
    (8000, 800, {**SMALL, "dropout": 0.2}),
]


def words(number: int, others: int = 0) -> str:
    """A seeded sample of the words with one pronunciation, with it.

    With `others`, a sample of so many words that the first one leaves.
    """
    source = read_source(built_in("cmudict-single.tsv"), "file of pairs", build=True)
    lines = source.text.rstrip("\n").split("\n")
    chosen = random.Random(0).sample(lines, number)
    if others:
        left = sorted(set(lines).difference(chosen))
        chosen = random.Random(0).sample(left, others)
    return "\n".join(chosen) + "\n"


def reached(run: dict[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as home:
        path = Path(home, "words.tsv")
        write_text(path, words(run["words"]))
        limits = {"max_steps": run["steps"], "max_minutes": None, "val_every_steps": "auto"}
        places = {"data_path": str(path), "runs_dir": home, "run_name": "run"}
        config = load_config(ROOT / "configs" / "g2p.yaml", {**run["keys"], **limits, **places})
        started_at = time.perf_counter()
        with quietly():
            folder = train(config)
        seconds = time.perf_counter() - started_at
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    names = ("val_loss", "val_word_error_rate", "val_unit_error_rate", "best_step")
    return run | {name: summary[name] for name in names} | {"seconds": seconds}


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    quiet_libraries()
    runs = ({"words": number, "steps": steps, "keys": keys} for number, steps, keys in RUNS)
    make_missing("pair_runs", runs, reached)


if __name__ == "__main__":
    main()
