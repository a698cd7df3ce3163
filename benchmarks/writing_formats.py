"""Compares the format that generate.py chooses with each: `python benchmarks/writing_formats.py`

GPTs of three sizes with random weights write 1, 8, 16 and 64 texts at a time, in turn in each
number format and in the one that `precision: auto` takes, in several rounds. With several texts,
auto also measures which attention is faster; a given format takes the fused one. Median tokens/s,
and the median of auto's over those of the best format in each round, go to writing_formats.json,
which keeps those of the other models.
"""

import argparse
from statistics import median
from typing import Any

from generate_speed import LARGE, SMALL, Generate, chosen_format, ours, tokens_per_second
from record import recorded_by_name, save
from tabulate import tabulate

from transformer.generation.number_formats import FORMATS, MEASURED_ROWS

SHAPES = {
    "0.8 M": SMALL,
    "1.7 M": {"num_blocks": 4, "num_heads": 6, "embedding_dim": 192, "block_size": 128},
    "10.7 M": LARGE,
}
SECONDS = 1.0  # at least, that a side writes in a round
ROUNDS = 7
AUTO = "auto"


def written_per_second(generate: Generate, num_rows: int, count: int) -> float:
    """Over several calls, as a small context ends a call soon."""
    calls, seconds = 0, 0.0
    while seconds < SECONDS:
        seconds += num_rows * count / tokens_per_second(generate, num_rows, count)
        calls += 1
    return calls * num_rows * count / seconds


def rotated(names: list[str], number: int) -> list[str]:
    """Each is first in turn, as what ran before may change the pace of the processor."""
    first = number % len(names)
    return names[first:] + names[:first]


def measure(shape: dict[str, int], num_rows: int, rounds: int) -> dict[str, Any]:
    sides = {name: ours(shape, num_rows, name) for name in (*FORMATS, AUTO)}
    count = shape["block_size"] - 1
    for generate in sides.values():
        tokens_per_second(generate, num_rows, count)  # warms up
    rates: dict[str, list[float]] = {side: [] for side in sides}
    for number in range(rounds):
        for side in rotated(list(sides), number):
            rates[side].append(written_per_second(sides[side], num_rows, count))
    medians = {side: median(values) for side, values in rates.items()}
    best = max(FORMATS, key=lambda name: medians[name])
    in_turn = zip(rates[AUTO], rates[best], strict=True)
    return {
        "chosen": chosen_format(shape, num_rows),
        "tokens_per_second": medians,
        "auto_over_best": median(auto / other for auto, other in in_turn),
        "rounds": rates,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--models", nargs="*", default=list(SHAPES), choices=list(SHAPES))
    arguments = parser.parse_args()
    figures = recorded_by_name("writing_formats")
    rows = []
    for name in arguments.models:
        shape = SHAPES[name]
        for num_rows in MEASURED_ROWS:
            figure = measure(shape, num_rows, arguments.rounds)
            figures[f"{name}, {num_rows} rows"] = figure
            speeds = (round(value) for value in figure["tokens_per_second"].values())
            rows.append((name, num_rows, *speeds, figure["chosen"], figure["auto_over_best"]))
            print(rows[-1], flush=True)
    headers = ("model", "rows", *FORMATS, AUTO, "chosen", "auto over best")
    print(tabulate(rows, headers, floatfmt=(*[""] * 7, ".2f")))
    print(save("writing_formats", figures))


if __name__ == "__main__":
    main()
