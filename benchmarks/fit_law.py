"""Fits the planner's law to the runs of `planner_runs.py`: `python benchmarks/fit_law.py`

Minimizes the squared errors of the losses, with a weak pull towards plausible values, as the runs
are few. Each text has a constant of its own in the fit, pulled towards their mean, so that the
other constants describe how one text's loss changes with size, steps and dropout; `floor` is then
the mean of these constants.
Two errors are found on runs that a fit did not know: for a text that has other runs (each run left
out in turn, with all of its size and dropout), and for a new text (all runs of its source left out,
as its pieces are beginnings of each other).
Prints the constants for `transformer/run/planning/law.py`; law.json keeps them. The runs of the
present shape in default_shape.json and those in half_hour.json count too.
"""

import math
from functools import cache
from typing import Any

import numpy as np
import torch
from default_shape import DEEP
from planner_runs import is_pilot
from record import RESULTS, recorded, recorded_anywhere, save
from tabulate import tabulate

from transformer.run.planning.law import PILOT_STEPS, Law, block_parameters

# Plausible values: Hoffmann et al. for the powers.
START = Law(0.01, 0.05, 0.4, 0.1, 0.15, 0.4, 0.5, 0.3, 0.02, 1.0, 0.5, 4.0, 0.4, 1.0, 1.5)
PULL = 2e-4  # of the squared relative distance from the start
TEXT_PULL = 0.2  # of the squared distance of a text's constant from their mean
STEPS = 500
TOKENS_PER_STEP = 12 * 128
WHOLE = ("shakespeare", 1133)
# What the law knows of a run.
KNOWN = {"embedding_dim", "num_heads", "num_blocks", "feedforward_dim", "dropout", "r_drop"}
HEADERS = ("text", "thousands", "steps", "changes", "loss", "fitted", "left out", "new text")
Run = dict[str, Any]


def inputs_of(runs: list[Run]) -> tuple[torch.Tensor, torch.Tensor]:
    """Columns: the losses of two pilots, parameters, tokens read and unique tokens in millions,
    blocks, dropout and r_drop.
    """
    rows = []
    for run in runs:
        keys = {"embedding_dim": 160, "num_blocks": 3, "dropout": 0.0, "r_drop": 0.0}
        keys |= run["keys"]
        size = block_parameters(keys["embedding_dim"], keys["num_blocks"]) / 1e6
        halves = (pilots()[*text_of(run), steps] for steps in (PILOT_STEPS // 2, PILOT_STEPS))
        tokens = run["seen_tokens"] / 1e6, run["unique_tokens"] / 1e6
        recipe = keys["num_blocks"], keys["dropout"], keys["r_drop"]
        rows.append((*halves, size, *tokens, *recipe))
    losses = [run["val_loss"] for run in runs]
    return torch.tensor(rows, dtype=torch.float64), torch.tensor(losses, dtype=torch.float64)


def guesses_of(logs: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
    """The law without its floor."""
    law = Law(*logs.exp())  # pyright: ignore[reportArgumentType]
    half, whole, size, seen, unique, num_blocks, dropout, r_drop = inputs.T
    promised = whole - law.pilot_gain * (half - whole)
    heart = law.heart * promised * (seen / unique) ** law.heart_power
    heart *= (size / unique) ** law.heart_size_power
    dropped = dropout * size**-law.dropout_size_power
    return (
        promised
        + law.size * size**-law.size_power
        + law.depth / num_blocks
        + law.tokens * seen**-law.tokens_power
        + law.dropout * dropped * torch.exp(-law.dropout_r_drop * r_drop)
        + heart * torch.exp(-law.heart_dropout * dropped - law.heart_r_drop * r_drop)
    )


def fit(runs: list[Run]) -> tuple[torch.Tensor, dict[tuple[Any, ...], float]]:
    """The logarithms of the constants, and the floor of each text."""
    inputs, losses = inputs_of(runs)
    texts = list(dict.fromkeys(text_of(run) for run in runs))
    places = torch.tensor([texts.index(text_of(run)) for run in runs])
    start = torch.tensor(START, dtype=torch.float64).log()
    logs = start.clone().requires_grad_()
    offsets = torch.full((len(texts),), -0.3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([logs, offsets], max_iter=STEPS, line_search_fn="strong_wolfe")

    def error() -> torch.Tensor:
        optimizer.zero_grad()
        guesses = offsets[places] + guesses_of(logs, inputs)
        pull = (logs - start).square().sum() / len(losses)
        apart = (offsets - offsets.mean()).square().sum() / len(losses)
        total = (guesses - losses).square().mean() + PULL * pull + TEXT_PULL * apart
        total.backward()
        return total

    optimizer.step(error)
    return logs.detach(), dict(zip(texts, offsets.tolist(), strict=True))


def guess(fitted: tuple[torch.Tensor, dict[tuple[Any, ...], float]], run: Run) -> float:
    """Of a text that the fit does not know, with the mean of the other texts' constants."""
    logs, offsets = fitted
    inputs, _ = inputs_of([run])
    offset = offsets.get(text_of(run), float(np.mean(list(offsets.values()))))
    return float(offset + guesses_of(logs, inputs)[0])


def main() -> None:
    torch.set_num_threads(1)
    runs = [
        run
        for run in [*recorded_runs(), *longer_runs()]
        if set(run["keys"]) <= KNOWN and not is_pilot(run)
    ]
    fitted = fit(runs)
    sources = {run["text"] for run in runs}
    without = {name: fit([run for run in runs if run["text"] != name]) for name in sources}
    rows, errors = [], {"fitted": [], "left out": [], "new text": []}
    for run in runs:
        others = [other for other in runs if _group(other) != _group(run)]
        guesses = [guess(known, run) for known in (fitted, fit(others), without[run["text"]])]
        for name, value in zip(errors, guesses, strict=True):
            errors[name].append(value - run["val_loss"])
        rows.append((*_name(run), run["val_loss"], *guesses))
    print(tabulate(rows, HEADERS, floatfmt=".3f"))
    logs, offsets = fitted
    rounded = [float(f"{value:.3g}") for value in logs.exp()]
    law = Law(*rounded)._replace(floor=round(float(np.mean(list(offsets.values()))), 3))
    rms = {name: math.sqrt(np.mean(np.square(values))) for name, values in errors.items()}
    print(law, offsets, rms, sep="\n")
    texts = {" ".join(map(str, text)): value for text, value in offsets.items()}
    path = save("law", {"law": law._asdict(), "texts": texts, "errors": errors, "rms": rms})
    for other in {*RESULTS.glob("*/law.json")} - {path}:
        other.unlink()  # one law is for all processors
    print(path)


def longer_runs() -> list[Run]:
    """Those that other scripts have made, on the whole text."""
    unique = next(r["unique_tokens"] for r in recorded_runs() if text_of(r) == WHOLE)
    text = {"text": WHOLE[0], "thousands": WHOLE[1], "unique_tokens": unique}
    rows = [row for row in recorded_anywhere("default_shape") if row["shape"] == DEEP]
    deep = [row | {"changes": {}} for row in rows]
    return [
        {
            **text,
            "keys": row["changes"],
            "steps": row["steps"],
            "seen_tokens": row["steps"] * TOKENS_PER_STEP,
            "val_loss": row["val_loss"],
        }
        for row in [*deep, *recorded_anywhere("half_hour")]
    ]


@cache
def recorded_runs() -> list[Run]:
    return recorded_anywhere("planner_runs")


@cache
def pilots() -> dict[tuple[str, int, int], float]:
    """The losses of those of this processor, by text and steps."""
    made = [run for run in recorded("planner_runs") if is_pilot(run)]
    return {(*text_of(run), run["steps"]): run["val_loss"] for run in made}


def text_of(run: Run) -> tuple[str, int]:
    return run["text"], run["thousands"]


def _name(run: Run) -> tuple[Any, ...]:
    keys = ", ".join(f"{key} {value}" for key, value in run["keys"].items() if key != "num_heads")
    return *text_of(run), run["steps"], keys


def _group(run: Run) -> tuple[Any, ...]:
    return *text_of(run), sorted(run["keys"].items())


if __name__ == "__main__":
    main()
