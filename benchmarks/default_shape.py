"""Why default.yaml is deep and has no n-grams: `OMP_NUM_THREADS=1 python
benchmarks/default_shape.py [--seeds 3] [--steps 2400]`

Its recipe trains with its present shape (deep) and with its former one (wide): two blocks of 192,
n-grams and token shift. Both train for the time that `--steps` steps of the wide one take, each
with a whole schedule. The times of a step come from processor time, both sides in turn, so other
work on the machine changes nothing. `default_shape.json` keeps what each run reached, and a run
that it has is not made again.
"""

import argparse
from collections.abc import Mapping
from functools import cache, partial
from itertools import product
from typing import Any

import torch
from record import DEFAULT_CONFIG, make_missing, recorded
from tokenizer_runs import FORMER, corpus_of, path_of, seconds_per_step
from whole_runs import fit

from transformer.config.files import load_config
from transformer.config.keys import Config
from transformer.data.tokenizer_choice import TokenizerChoice
from transformer.evaluation.text import score_model
from transformer.system.terminal import quiet_libraries

NAME = "default_shape"
WIDE, DEEP = "wide", "deep"
# Changes of default.yaml.
SHAPES: Mapping[str, Mapping[str, Any]] = {WIDE: FORMER, DEEP: {}}
WIDE_STEPS = 2400


def default_with(changes: Mapping[str, Any]) -> Config:
    """default.yaml with changes, on Tiny Shakespeare."""
    return load_config(DEFAULT_CONFIG[1], {"data_path": str(path_of("tiny")), **changes})


def config_of(shape: str) -> Config:
    return default_with(SHAPES[shape])


@cache
def relative_step_time() -> float:
    reference, own = seconds_per_step(config_of(WIDE), config_of(DEEP))
    return own / reference


def train(reference_steps: int, run: dict[str, Any]) -> dict[str, Any]:
    relative = 1.0 if run["shape"] == WIDE else relative_step_time()
    return run | reached(config_of(run["shape"]), run["seed"], reference_steps, relative)


def reached(config: Config, seed: int, reference_steps: int, relative: float) -> dict[str, Any]:
    """In the time of so many steps of the wide shape; a step takes `relative` times as long."""
    corpus = corpus_of(config.data_path, config.group(TokenizerChoice))
    steps = round(reference_steps / relative)
    model, _ = fit(config, corpus, seed, steps)
    return {
        "steps": steps,
        "relative_step_time": relative,
        "num_parameters": model.num_parameters,
        "val_loss": score_model(model, corpus.val, corpus.tokenizer).loss,
    }


def means(rows: list[dict[str, Any]]) -> dict[str, float]:
    """The mean loss of each shape over its seeds."""
    losses = {name: [r["val_loss"] for r in rows if r["shape"] == name] for name in SHAPES}
    return {name: sum(found) / len(found) for name, found in losses.items() if found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=WIDE_STEPS)
    arguments = parser.parse_args()
    quiet_libraries()
    torch.set_num_threads(1)
    runs = [
        {"shape": name, "seed": seed, "reference_steps": arguments.steps}
        for seed, name in product(range(arguments.seeds), SHAPES)
    ]
    make_missing(NAME, runs, partial(train, arguments.steps))
    found = means([row for row in recorded(NAME) if row["reference_steps"] == arguments.steps])
    print(found, f"difference {found[DEEP] - found[WIDE]:+.4f}")


if __name__ == "__main__":
    main()
