"""How well `sweep.py --scaling` predicts a run four times the largest size:
`OMP_NUM_THREADS=1 python benchmarks/scaling_law.py [--config default] [--max_steps 2820]
[--seeds 3]`

Trains the five sizes of a config on all plays (data/shakespeare.txt, so that no run reads much of
it twice) as the sweep does, fits the law, and then trains the predicted size too, with one seed.
`--max_steps` are those of the predicted run, as in the sweep. A run that `scaling_law.json` has is
not made again. Times are processor times, so other work on the machine changes nothing.
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
from transformer.sweep.scaling.outcome import next_size, outcome_of
from transformer.sweep.scaling.picture import write_picture
from transformer.sweep.scaling.planning import measure_sizes
from transformer.sweep.scaling.report import table
from transformer.sweep.scaling.sizes import Size, sizes_of
from transformer.sweep.searches.scaling import ScalingSearch
from transformer.sweep.trial import Result
from transformer.system.terminal import quiet_libraries

NAME, PREDICTIONS = "scaling_law", "scaling_law_predictions"
BAR, GOAL = 0.03, 0.015  # nats


def run_of(name: str, size: Size, seed: int) -> dict[str, Any]:
    """What tells a run apart in the results file."""
    return {"config": name, "keys": dict(size.keys), "max_steps": size.max_steps, "seed": seed}


def train(base: Config, run: dict[str, Any]) -> dict[str, Any]:
    config = base.model_copy(update=run["keys"])
    corpus = corpus_of(config.data_path, config.group(TokenizerChoice))
    started_at = time.process_time()
    model, _ = fit(config, corpus, run["seed"], run["max_steps"])
    seconds = time.process_time() - started_at
    loss = score_model(model, corpus.val, corpus.tokenizer).loss
    return run | {"val_loss": loss, "processor_seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default="default", help="its name in configs/")
    parser.add_argument("--max_steps", type=int, default=2820)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--picture", type=Path, help="file for the picture, with what was reached")
    arguments = parser.parse_args()
    quiet_libraries()
    torch.set_num_threads(1)
    keys = {"data_path": str(path_of("plays")), "num_threads": 1}
    keys["max_steps"] = arguments.max_steps
    config = load_config(ROOT / "configs" / f"{arguments.config}.yaml", keys)
    found = measure_sizes(config, None)
    plan = Plan(config.resolved(), ScalingSearch.name, seeds=arguments.seeds, measured=found)
    trained = [
        run_of(arguments.config, size, seed)
        for size in sizes_of(plan)
        for seed in plan.seed_numbers
    ]
    predicted = run_of(arguments.config, next_size(plan)[0], plan.base["seed"])
    make_missing(NAME, [*trained, predicted], lambda run: train(config, run))
    rows = [next(r for r in recorded(NAME) if run.items() <= r.items()) for run in trained]
    (reached,) = [row["val_loss"] for row in recorded(NAME) if predicted.items() <= row.items()]
    report(plan, rows, reached, arguments.picture)


def report(
    plan: Plan, rows: list[dict[str, Any]], reached: float, picture: Path | None = None
) -> None:
    trials = ScalingSearch(plan).trials([])
    results = [
        Result(trial, None, row["val_loss"], {"elapsed_seconds": row["processor_seconds"]}, None)
        for trial, row in zip(trials, rows, strict=True)
    ]
    prediction = outcome_of(plan, results).prediction
    print(table(plan, results))
    error = prediction.loss - reached
    print(f"reached {reached:.4f}: off by {error:+.4f}; bar {BAR}, goal {GOAL}")
    known = {"config": rows[0]["config"], "seeds": plan.seeds}
    others = [row for row in recorded(PREDICTIONS) if not known.items() <= row.items()]
    figures = {"reached": reached, "error": error, **prediction._asdict()}
    told = {"table": table(plan, results).splitlines()}
    save(PREDICTIONS, [*others, known | figures | told])
    if picture is not None:
        write_picture(plan, results, picture, reached)


if __name__ == "__main__":
    main()
