"""Trains the runs from which the planner's law is fitted: `OMP_NUM_THREADS=1 python
benchmarks/planner_runs.py`

Each run is a whole schedule of default.yaml's recipe with another size, dropout, number of steps or
text; `planner_runs.json` keeps what each reached, and a run that it has is not made again. The
texts are the beginnings of Tiny Shakespeare (data/input.txt) and of Python's documentation
(`pydoc_data.topics`), cut to so many thousand characters. `fit_law.py` fits the law to them.
"""

import argparse
import pydoc_data.topics
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any

from record import ROOT, make_missing
from whole_runs import fit

from transformer.config.files import load_config
from transformer.data.text.corpus import Corpus
from transformer.evaluation.text import score_model
from transformer.system.files import write_text
from transformer.system.terminal import quiet_libraries

# Heads are 32 numbers wide.
WIDTH = {
    width: {"embedding_dim": width, "num_heads": width // 32} for width in (64, 96, 128, 192, 256)
}
TEXTS = (
    *(("topics", 200), ("topics", 460), ("shakespeare", 100)),
    *(("shakespeare", 400), ("shakespeare", 1133)),  # the last: all of it
)
R_DROP = {"dropout": 0.1, "r_drop": 1.0}
# Text, thousands of characters, steps, and changes of default.yaml.
RUNS: list[tuple[str, int, int, dict[str, Any]]] = [
    *(
        (name, size, 100, {"num_blocks": 2, **WIDTH[64]}) for name, size in TEXTS
    ),  # as `run/planning/pilot.py` trains
    ("shakespeare", 1133, 300, {}),
    ("topics", 200, 300, R_DROP),
    ("shakespeare", 100, 300, R_DROP),
    ("topics", 200, 150, {}),
    ("shakespeare", 1133, 600, {}),
    ("shakespeare", 100, 150, {}),
    ("topics", 200, 300, {"dropout": 0.1}),
    ("topics", 200, 600, R_DROP | WIDTH[128]),
    ("shakespeare", 1133, 1200, {}),
    ("shakespeare", 100, 300, {"dropout": 0.2}),
    ("topics", 200, 300, {}),
    ("shakespeare", 400, 300, {}),
    ("shakespeare", 100, 300, {"num_blocks": 4, **WIDTH[128]}),
    ("topics", 460, 300, {"dropout": 0.1}),
    ("shakespeare", 1133, 600, R_DROP),
    ("topics", 200, 800, {"num_blocks": 2, **WIDTH[64]}),
    ("shakespeare", 400, 600, {"dropout": 0.1} | WIDTH[128]),
    ("shakespeare", 1133, 600, {"dropout": 0.1}),
    ("shakespeare", 1133, 300, WIDTH[256]),
    ("shakespeare", 1133, 1000, {"num_blocks": 2, **WIDTH[64]}),
    ("shakespeare", 100, 500, {"dropout": 0.2, "r_drop": 1.0, **WIDTH[128]}),
    ("topics", 460, 400, R_DROP | WIDTH[96]),
    ("shakespeare", 1133, 900, {"num_blocks": 4, **WIDTH[128]}),
    ("topics", 200, 300, {"dropout": 0.2, "num_blocks": 2, **WIDTH[192]}),
    ("shakespeare", 100, 1000, {"dropout": 0.4, "r_drop": 1.0, **WIDTH[128]}),
    ("shakespeare", 100, 300, {}),
    ("shakespeare", 100, 1000, R_DROP | WIDTH[128]),
]


def text_of(name: str, thousands: int) -> str:
    if name == "topics":
        topics = pydoc_data.topics.topics
        text = "".join(topics[key] for key in sorted(topics))
    else:
        text = (ROOT / "data" / "input.txt").read_text(encoding="utf-8")
    return text[: 1000 * thousands]


@cache
def corpus_of(name: str, thousands: int) -> Corpus:
    with tempfile.TemporaryDirectory() as folder:
        write_text(Path(folder, "text.txt"), text_of(name, thousands))
        return Corpus.from_file(Path(folder, "text.txt"))


def train(run: dict[str, Any]) -> dict[str, Any]:
    given = {"feedforward_dim": None} | run["keys"]  # as plans have it: usual for the width
    config = load_config(ROOT / "configs" / "default.yaml", given)
    corpus = corpus_of(run["text"], run["thousands"])
    started_at = time.perf_counter()
    fitted: Any = fit(config, corpus, config.seed, run["steps"])
    model, data = fitted
    seconds = time.perf_counter() - started_at
    seen = data.train_tokens[: len(data.val_tokens)]
    return run | {
        "num_parameters": sum(p.numel() for p in model.parameters()),
        "vocab_size": corpus.tokenizer.vocab_size,
        "unique_tokens": len(corpus.train),
        "seen_tokens": run["steps"] * config.batch_size * config.block_size,
        "val_loss": score_model(model, data.val_tokens, data.tokenizer).loss,
        "train_loss": score_model(model, seen, data.tokenizer).loss,
        "seconds": seconds,
    }


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    quiet_libraries()
    names = ("text", "thousands", "steps", "keys")
    make_missing("planner_runs", (dict(zip(names, run, strict=True)) for run in RUNS), train)


if __name__ == "__main__":
    main()
