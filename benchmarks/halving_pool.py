"""What 48 random configs reach in four times: `OMP_NUM_THREADS=1 python benchmarks/halving_pool.py`

The pool from which `halving.py` replays searches. Around configs/quick.yaml, it varies the learning
rate, dropout, weight decay, batch and size. Each config trains from scratch, with a whole schedule,
for 1, 3, 9 and 27 times the time that UNIT_STEPS steps of quick.yaml take. The times of a step are
processor times, so other work on the machine changes nothing. `halving_pool.json` keeps what each
run reached, and a run that it has is not made again.
"""

import argparse
from functools import cache
from typing import Any

import numpy as np
import torch
from record import ROOT, make_missing
from tokenizer_runs import corpus_of, seconds_per_step
from whole_runs import fit

from transformer.config.files import load_config
from transformer.config.keys import Config
from transformer.data.tokenizer_choice import TokenizerChoice
from transformer.evaluation.text import score_model
from transformer.system.terminal import quiet_libraries

NAME = "halving_pool"
NUM_CONFIGS = 48
UNIT_STEPS = 4
BUDGETS = (1, 3, 9, 27)  # of the time of UNIT_STEPS steps
TIMED_ROUNDS = 2
HEAD_DIM = 32
VALIDATED_TOKENS = 20_000
SEED = 0


def drawn_keys(number: int) -> dict[str, Any]:
    """Those of a config of the pool; a pure function of its number."""
    generator = np.random.default_rng((SEED, number))
    width = HEAD_DIM * int(generator.integers(2, 6))
    return {
        "lr": float(f"{10 ** generator.uniform(-4, -1):.3g}"),
        "dropout": round(float(generator.uniform(0, 0.3)), 3),
        "weight_decay": float(f"{10 ** generator.uniform(-3, 0):.3g}"),
        "batch_size": int(generator.choice([8, 16, 32])),
        "num_blocks": int(generator.integers(1, 5)),
        "embedding_dim": width,
        "num_heads": width // HEAD_DIM,
    }


def config_of(keys: dict[str, Any]) -> Config:
    path = {"data_path": f"{ROOT}/data/input.txt", "num_threads": 1}
    return load_config(ROOT / "configs" / "quick.yaml", path | keys)


@cache
def reference_seconds() -> float:
    return seconds_per_step(config_of({}))[0]


@cache
def relative_step_time(number: int) -> float:
    (seconds,) = seconds_per_step(config_of(drawn_keys(number)), rounds=TIMED_ROUNDS)
    return seconds / reference_seconds()


def train(run: dict[str, Any]) -> dict[str, Any]:
    keys = drawn_keys(run["config"])
    config = config_of(keys)
    corpus = corpus_of(config.data_path, config.group(TokenizerChoice))
    relative = relative_step_time(run["config"])
    steps = max(1, round(run["budget"] * UNIT_STEPS / relative))
    model, _ = fit(config, corpus, config.seed, steps)
    loss = score_model(model, corpus.val[:VALIDATED_TOKENS], corpus.tokenizer).loss
    return run | {
        "keys": keys,
        "steps": steps,
        "relative_step_time": relative,
        "reference_step_seconds": reference_seconds(),
        "val_loss": loss,
    }


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    quiet_libraries()
    torch.set_num_threads(1)
    runs = [
        {"config": number, "budget": budget, "seed": SEED}
        for number in range(NUM_CONFIGS)
        for budget in BUDGETS
    ]
    make_missing(NAME, runs, train)


if __name__ == "__main__":
    main()
