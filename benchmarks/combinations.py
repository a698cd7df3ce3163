"""Finds options that train badly together: tries every pair of their values, 300 steps each.

A covering array has each pair of values in at least one row (Cohen et al. 1997, "The AETG system").
Each row is compared with the best row of the same model and optimizer. Some options are simply
better than others, so a row may be `MARGINS` worse. If it is worse than that, something is broken,
or the run must warn at its start. Results: combinations.json.
"""

import json
import math
import os
import random
import tempfile
from collections.abc import Mapping
from itertools import combinations, product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from record import save
from tabulate import tabulate

if TYPE_CHECKING:
    from transformer.config.keys import Config

Row = dict[str, Any]

OPTIONS: Row = {
    "model": ("gpt", "encoder_decoder"),
    "positions": ("learned", "sinusoidal", "rotary", "none"),
    "norm": ("layernorm", "rmsnorm"),
    "norm_first": (True, False),
    "activation": ("gelu", "gelu_tanh", "relu", "relu2", "swiglu"),
    "tie_weights": (True, False),
    "optimizer": ("adamw", "muon"),
}
# Nats per token above the best row of the same model and optimizer. After only 300 steps, a gpt is
# still near the bigram floor; rotary positions and Muon get below it first. An encoder_decoder
# learns sooner with an untied head. The margins must still find known faults: positions 35 times
# too large cost a gpt 0.9, and 50 times too small cost an encoder_decoder 0.6 (AMD EPYC, Zen 3).
MARGINS = {"gpt": 0.35, "encoder_decoder": 0.5}
LR = {"adamw": 3e-3, "muon": 1e-2}
SHARED: Row = {
    **{"epochs": 1000, "max_steps": 300, "val_every_steps": 300, "num_workers": 0},
    **{"embedding_dim": 32, "num_heads": 2, "num_blocks": 2, "accelerator": "cpu"},
    **{"precision": "float32", "val_fraction": 0.02},
}
DATA: dict[str, Row] = {
    "gpt": {"data_path": "data/input.txt", "block_size": 32, "batch_size": 16},
    "encoder_decoder": {"data_path": "data/reverse.tsv", "block_size": 12, "batch_size": 64},
}


def covering_array(options: Mapping[str, tuple[Any, ...]]) -> list[Row]:
    """Rows that contain every pair of values; each is the row with the most new pairs."""
    every = [dict(zip(options, values, strict=True)) for values in product(*options.values())]
    random.Random(0).shuffle(every)  # breaks ties at random, the same way each time
    missing = {pair for row in every for pair in pairs_of(row)}
    rows = []
    while missing:
        rows.append(max(every, key=lambda row: len(missing & pairs_of(row))))
        missing -= pairs_of(rows[-1])
    return rows


def pairs_of(row: Row) -> set[tuple[tuple[str, Any], tuple[str, Any]]]:
    return set(combinations(row.items(), 2))


def config_of(row: Row) -> "Config":
    """The config of a row; writes a file into the current folder."""
    from transformer.config.files import load_config

    empty = Path("combination.yaml")
    empty.write_text("seed: 0\n", encoding="utf-8")
    return load_config(empty, SHARED | DATA[row["model"]] | {"lr": LR[row["optimizer"]]} | row)


def train_row(row: Row) -> float:
    """Trains 300 steps in the current folder and returns the loss."""
    from transformer.run.fit import train

    folder = train(config_of(row))
    return json.loads((folder / "summary.json").read_text(encoding="utf-8"))["val_loss"]


def above_best(rows: list[Row]) -> list[float]:
    """How much each loss exceeds the best one of its model and optimizer."""
    best: dict[tuple[str, str], float] = {}
    for row in rows:
        kind = (row["model"], row["optimizer"])
        best[kind] = min(best.get(kind, math.inf), row["loss"])
    return [row["loss"] - best[row["model"], row["optimizer"]] for row in rows]


def main() -> None:
    home = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        rows = [row | {"loss": train_row(row)} for row in covering_array(OPTIONS)]
        os.chdir(home)
    for row, above in zip(rows, above_best(rows), strict=True):
        row["above_best"] = above
    save("combinations", sorted(rows, key=lambda row: (row["model"], row["above_best"])))
    print(tabulate(rows, headers="keys", floatfmt=".3f"))


if __name__ == "__main__":
    main()
