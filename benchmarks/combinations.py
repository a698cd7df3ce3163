"""Which options train badly together: every pair of their values, 300 steps each.

A covering array has each pair of values in one row at least (Cohen et al. 1997, "The AETG system").
Losses are compared within a model and an optimizer, whose best row is the mark: the options
themselves differ in worth, so a row may be `MARGINS` above it. Beyond that something is broken, or
the run has to say so at its start. Figures go to results/combinations.json.
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
# Nats a token above the best of the same model and optimizer. 300 steps are few: a gpt is near the
# bigram floor still, which rotary positions and Muon leave soonest, and an encoder_decoder learns
# sooner with an untied head. Positions 35 times too large cost a gpt 0.9, 50 times too small ones
# an encoder_decoder 0.6, which these margins must not hide (seen on an AMD EPYC, Zen 3).
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
    """Rows that hold every pair of values of two options, each the one with most that is new."""
    every = [dict(zip(options, values, strict=True)) for values in product(*options.values())]
    random.Random(0).shuffle(every)  # ties are broken by chance, the same each time
    missing = {pair for row in every for pair in pairs_of(row)}
    rows = []
    while missing:
        rows.append(max(every, key=lambda row: len(missing & pairs_of(row))))
        missing -= pairs_of(rows[-1])
    return rows


def pairs_of(row: Row) -> set[tuple[tuple[str, Any], tuple[str, Any]]]:
    return set(combinations(row.items(), 2))


def config_of(row: Row) -> "Config":
    """The run of a row; its file is written to the current folder."""
    from transformer.config.files import load_config

    empty = Path("combination.yaml")
    empty.write_text("seed: 0\n", encoding="utf-8")
    return load_config(empty, SHARED | DATA[row["model"]] | {"lr": LR[row["optimizer"]]} | row)


def train_row(row: Row) -> float:
    """The loss after 300 steps, in the current folder."""
    from transformer.run.fit import train

    folder = train(config_of(row))
    return json.loads((folder / "summary.json").read_text(encoding="utf-8"))["val_loss"]


def above_best(rows: list[Row]) -> list[float]:
    """How far each is above the best of its model and optimizer."""
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
