"""Trains the runs from which the planner's law is fitted: `OMP_NUM_THREADS=1 python
benchmarks/planner_runs.py [--processes 2]`

Each run is a whole schedule of default.yaml's recipe with another size, dropout, number of steps or
text; `planner_runs.json` keeps what each reached. A run that some processor has made is not made
again, except for the pilots. The texts are the beginnings of Tiny Shakespeare (data/input.txt), of
Python's documentation (`pydoc_data.topics`) and of its standard library's modules, cut to so many
thousand characters. `fit_law.py` fits the law to them.
"""

import argparse
import pydoc_data.topics
import sysconfig
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any

from record import ROOT, make_missing, recorded_anywhere
from whole_runs import fit

from transformer.config.files import load_config
from transformer.data.text.corpus import Corpus
from transformer.evaluation.text import score_model
from transformer.run.planning.law import PILOT_STEPS
from transformer.system.files import write_text
from transformer.system.terminal import quiet_libraries

NAME = "planner_runs"
# Heads are 32 numbers wide.
WIDTH = {
    width: {"embedding_dim": width, "num_heads": width // 32}
    for width in (64, 96, 128, 192, 256, 384)
}
TEXTS = (
    *(("topics", 200), ("topics", 460), ("shakespeare", 100)),
    *(("shakespeare", 400), ("shakespeare", 1133)),  # the last: all of it
    *(("library", 100), ("library", 400)),
)
COMPILED_FROM_STEPS = 800  # changes the time alone
LONG = {"block_size": 256, "batch_size": 6}
R_DROP = {"dropout": 0.1, "r_drop": 1.0}
# Text, thousands of characters, steps, and changes of default.yaml.
RUNS: list[tuple[str, int, int, dict[str, Any]]] = [
    *(
        (name, size, steps, {"num_blocks": 2, **WIDTH[64]})
        for name, size in TEXTS
        for steps in (PILOT_STEPS // 2, PILOT_STEPS)
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
    # With many steps: what depth and dropout bring then.
    ("shakespeare", 1133, 2200, {"dropout": 0.1}),
    ("shakespeare", 1133, 2200, {"num_blocks": 6, **WIDTH[128]}),
    ("shakespeare", 1133, 2000, {"dropout": 0.1, "num_blocks": 6, **WIDTH[192]}),
    ("shakespeare", 1133, 1500, {"num_blocks": 6, **WIDTH[192]}),
    ("library", 400, 600, {}),
    ("library", 100, 500, {"dropout": 0.1}),
    ("shakespeare", 400, 1500, {"dropout": 0.1}),
    ("topics", 460, 1500, {"dropout": 0.1}),
    ("shakespeare", 1133, 2500, {"dropout": 0.2, "num_blocks": 6, **WIDTH[256]}),
    ("shakespeare", 1133, 4400, {"dropout": 0.1}),
    ("library", 400, 1500, {"dropout": 0.1, "num_blocks": 4, **WIDTH[128]}),
    ("topics", 200, 1500, {"dropout": 0.2}),
    ("shakespeare", 100, 1500, {"dropout": 0.3}),
    ("shakespeare", 1133, 3000, {"dropout": 0.1, "num_blocks": 6, **WIDTH[128]}),
    ("shakespeare", 1133, 2000, {"dropout": 0.1, "num_blocks": 4, **WIDTH[192]}),
    # With R-Drop, wider models and more passes.
    ("topics", 200, 1000, R_DROP | {"num_blocks": 2, **WIDTH[256]}),
    ("shakespeare", 100, 1000, {"dropout": 0.2, "r_drop": 1.0, "num_blocks": 2, **WIDTH[256]}),
    ("shakespeare", 1133, 3000, R_DROP | {"num_blocks": 2, **WIDTH[256]}),
    ("shakespeare", 100, 1500, {"dropout": 0.3, "r_drop": 1.0, "num_blocks": 2, **WIDTH[384]}),
    ("shakespeare", 1133, 5000, {"dropout": 0.2, "num_blocks": 4, **WIDTH[256]}),
    ("shakespeare", 1133, 1500, {"num_blocks": 2, **WIDTH[256]}),
    ("shakespeare", 400, 1500, {"dropout": 0.2, "r_drop": 1.0, "num_blocks": 4, **WIDTH[192]}),
    # Narrow and deep.
    ("shakespeare", 1133, 2500, {"num_blocks": 6, **WIDTH[96]}),
    ("shakespeare", 1133, 2500, {"num_blocks": 6, **WIDTH[64]}),
    ("topics", 200, 1400, R_DROP | {"num_blocks": 4, **WIDTH[96]}),
    # With a longer context, which no law knows.
    ("shakespeare", 1133, 2200, LONG),
    ("shakespeare", 1133, 2200, {"dropout": 0.1, **LONG}),
    ("shakespeare", 1133, 2000, {"dropout": 0.1, "num_blocks": 4, **WIDTH[192], **LONG}),
]


def text_of(name: str, thousands: int) -> str:
    if name == "topics":
        topics = pydoc_data.topics.topics
        text = "".join(topics[key] for key in sorted(topics))
    elif name == "library":
        modules = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
        text = "".join(path.read_text(encoding="utf-8") for path in modules)
    else:
        text = (ROOT / "data" / "input.txt").read_text(encoding="utf-8")
    return text[: 1000 * thousands]


@cache
def corpus_of(name: str, thousands: int) -> Corpus:
    with tempfile.TemporaryDirectory() as folder:
        write_text(Path(folder, "text.txt"), text_of(name, thousands))
        return Corpus.from_file(Path(folder, "text.txt"))


def train(run: dict[str, Any]) -> dict[str, Any]:
    quiet_libraries()
    given = {"feedforward_dim": None} | run["keys"]  # as plans have it: usual for the width
    given["compile"] = run["steps"] >= COMPILED_FROM_STEPS
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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=1, help="that train at a time")
    arguments = parser.parse_args()
    names = ("text", "thousands", "steps", "keys")
    runs: list[dict[str, Any]] = [dict(zip(names, run, strict=True)) for run in RUNS]
    # Pilots are compared with each other, so they are all of this processor.
    made = [run for run in recorded_anywhere(NAME) if not is_pilot(run)]
    make_missing(NAME, runs, train, arguments.processes, made)


def is_pilot(run: dict[str, Any]) -> bool:
    tiny = {"embedding_dim": 64, "num_blocks": 2}.items() <= run["keys"].items()
    return tiny and run["steps"] <= PILOT_STEPS


if __name__ == "__main__":
    main()
