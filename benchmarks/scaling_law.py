"""How well `sweep.py --scaling` predicts a run four times the largest size:
`OMP_NUM_THREADS=1 python benchmarks/scaling_law.py [--config exportable] [--max_steps 2820]`

Trains the five sizes of a config on all plays (data/shakespeare.txt, so that no run reads much of
it twice) as the sweep does, fits the law, and then trains the predicted size too. `--max_steps`
are those of the predicted run, as in the sweep. A run that `scaling_law.json` has is not made
again.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import torch
from record import ROOT, make_missing, recorded, save
from tokenizer_runs import corpus_of, path_of
from whole_runs import fit

from transformer.config.files import load_config
from transformer.config.keys import Config
from transformer.data.tokenizer_choice import TokenizerChoice
from transformer.evaluation.text import score_model
from transformer.sweep.plan import Plan
from transformer.sweep.scaling.outcome import outcome_of
from transformer.sweep.scaling.picture import write_picture
from transformer.sweep.scaling.planning import measured
from transformer.sweep.scaling.report import table
from transformer.sweep.scaling.sizes import Size
from transformer.sweep.searches.scaling import ScalingSearch
from transformer.sweep.trial import Result
from transformer.system.terminal import quiet_libraries

NAME = "scaling_law"
BAR, GOAL = 0.03, 0.015  # nats


def train(config: Config, size: dict[str, Any], run: dict[str, Any]) -> dict[str, Any]:
    shape = config.model_copy(update=dict(size["keys"]))
    corpus = corpus_of(shape.data_path, shape.group(TokenizerChoice))
    started_at = time.process_time()
    model, _ = fit(shape, corpus, run["seed"], run["max_steps"])
    seconds = time.process_time() - started_at
    loss = score_model(model, corpus.val, corpus.tokenizer).loss
    flops = size["tokens"] * size["flops_per_token"]
    return run | {"val_loss": loss, "flops": flops, "processor_seconds": seconds, **size}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default="exportable", help="its name in configs/")
    parser.add_argument("--max_steps", type=int, default=2820)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    quiet_libraries()
    torch.set_num_threads(1)
    keys = {"data_path": str(path_of("plays")), "num_threads": 1, "seed": arguments.seed}
    keys["max_steps"] = arguments.max_steps
    config = load_config(ROOT / "configs" / f"{arguments.config}.yaml", keys)
    plan = Plan(config.resolved(), "scaling", measured=measured(config, None))
    sizes = [*plan.measured["sizes"], plan.measured["predicted"]]
    runs = [
        {"config": arguments.config, "size": Size(**_known(size)).name, "seed": arguments.seed}
        | {"max_steps": size["max_steps"]}
        for size in sizes
    ]
    by_name = {run["size"]: _known(size) for run, size in zip(runs, sizes, strict=True)}
    make_missing(NAME, runs, lambda run: train(config, by_name[run["size"]], run))
    rows = [next(r for r in recorded(NAME) if run.items() <= r.items()) for run in runs]
    report(plan, rows)


def _known(size: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in size.items() if key != "seconds"}


def report(plan: Plan, rows: list[dict[str, Any]]) -> None:
    trials = ScalingSearch(plan).trials([])
    results = [
        Result(trial, None, row["val_loss"], {"elapsed_seconds": row["processor_seconds"]}, None)
        for trial, row in zip(trials, rows, strict=False)
    ]
    prediction, reached = outcome_of(plan, results).prediction, rows[-1]["val_loss"]
    print(table(plan, results))
    print(f"reached {reached:.4f}, predicted {prediction.loss:.4f}: off by ", end="")
    print(f"{prediction.loss - reached:+.4f}; bar {BAR}, goal {GOAL}")
    saved = save(NAME, recorded(NAME))
    save(f"{NAME}_prediction", {"reached": reached, **prediction._asdict(), "rows": rows})
    write_picture(plan, results, Path(saved.parent, f"{NAME}.png"), reached)


if __name__ == "__main__":
    main()
