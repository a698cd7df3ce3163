"""How near configs/exportable.yaml comes to default.yaml: `OMP_NUM_THREADS=1 python
benchmarks/exportable.py [--seeds 3] [--steps 2400]`

Both train for the time that `--steps` steps of default.yaml take, each with a whole schedule. The
times of a step come from processor time, both sides in turn, so other work on the machine changes
nothing. `exportable.json` keeps what each run reached, and a run that it has is not made again.
"""

import argparse
from functools import cache, partial
from itertools import product
from typing import Any

import torch
from record import ROOT, load, make_missing
from tokenizer_runs import corpus_of, seconds_per_step
from whole_runs import fit

from transformer.config.files import load_config
from transformer.config.keys import Config
from transformer.data.tokenizer_choice import TokenizerChoice
from transformer.evaluation.text import score_model
from transformer.system.terminal import quiet_libraries

NAME = "exportable"
REFERENCE = "default"
CONFIGS = (REFERENCE, NAME)
WITHIN = 0.02  # nats: the bar


def config_of(name: str) -> Config:
    return load_config(ROOT / "configs" / f"{name}.yaml", {"data_path": f"{ROOT}/data/input.txt"})


@cache
def relative_step_time() -> float:
    reference, own = seconds_per_step(*map(config_of, CONFIGS))
    return own / reference


def train(reference_steps: int, run: dict[str, Any]) -> dict[str, Any]:
    config = config_of(run["config"])
    corpus = corpus_of(config.data_path, config.group(TokenizerChoice))
    relative = 1.0 if run["config"] == REFERENCE else relative_step_time()
    steps = round(reference_steps / relative)
    model, _ = fit(config, corpus, run["seed"], steps)
    return run | {
        "steps": steps,
        "relative_step_time": relative,
        "num_parameters": sum(p.numel() for p in model.parameters()),
        "val_loss": score_model(model, corpus.val, corpus.tokenizer).loss,
    }


def means(rows: list[dict[str, Any]]) -> dict[str, float]:
    """The mean loss of each config over its seeds."""
    losses = {name: [r["val_loss"] for r in rows if r["config"] == name] for name in CONFIGS}
    return {name: sum(found) / len(found) for name, found in losses.items() if found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=config_of(REFERENCE).max_steps)
    arguments = parser.parse_args()
    quiet_libraries()
    torch.set_num_threads(1)
    runs = [
        {"config": name, "seed": seed, "reference_steps": arguments.steps}
        for seed, name in product(range(arguments.seeds), CONFIGS)
    ]
    make_missing(NAME, runs, partial(train, arguments.steps))
    rows = [row for row in load(NAME)["figures"] if row["reference_steps"] == arguments.steps]
    found = means(rows)
    print(found, f"difference {found[NAME] - found[REFERENCE]:.4f}, bar {WITHIN}")


if __name__ == "__main__":
    main()
