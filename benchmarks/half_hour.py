"""Which recipe is best for half an hour on Tiny Shakespeare: `OMP_NUM_THREADS=1 python
benchmarks/half_hour.py`

Each run trains for the time that REFERENCE_STEPS steps of the wide shape of `default_shape.py`
take, which is 30 minutes on two idle cores of an AMD EPYC (Zen 3). The steps come from processor
time, both sides in turn, so other work on the machine changes nothing. `half_hour.json` keeps what
each reached, and a run that it has is not made again.
"""

from typing import Any

import torch
from default_shape import WIDE as REFERENCE
from default_shape import config_of, default_with, reached
from record import make_missing
from tokenizer_runs import seconds_per_step

from transformer.system.terminal import quiet_libraries

NAME = "half_hour"
REFERENCE_STEPS = 8800
WIDER = {"embedding_dim": 192, "num_heads": 6, "num_blocks": 4, "feedforward_dim": 512}
# Changes of default.yaml, and seed.
RUNS: list[tuple[dict[str, Any], int]] = [
    ({"dropout": 0.1, "r_drop": 1.0}, 0),
    (WIDER | {"dropout": 0.2}, 0),
    (WIDER | {"dropout": 0.1, "r_drop": 1.0}, 0),
]


def train(run: dict[str, Any]) -> dict[str, Any]:
    config = default_with(run["changes"])
    reference, own = seconds_per_step(config_of(REFERENCE), config)
    print(run, own / reference, flush=True)
    return run | reached(config, run["seed"], REFERENCE_STEPS, own / reference)


def main() -> None:
    quiet_libraries()
    torch.set_num_threads(1)
    make_missing(NAME, [{"changes": c, "seed": seed} for c, seed in RUNS], train)


if __name__ == "__main__":
    main()
