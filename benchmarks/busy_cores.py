"""Measures how a step slows down where cores are busy: `python benchmarks/busy_cores.py`

Trains configs/default.yaml alone, and beside programs that keep one core or all cores busy, with
threads that spin for different numbers of turns before they sleep (GOMP_SPINCOUNT; libgomp's own
number is 300000), and for the number that train.py sets. The medians of the logged tokens/s,
without the first steps, go to busy_cores.json. The SPINS in system/cores.py are chosen by them.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

from record import DEFAULT_CONFIG, save
from scaling import logged_rate
from tabulate import tabulate

from transformer.system.cores import SPINS_ALONE, SPINS_BESIDE_OTHERS, available_cores

STEPS, SKIPPED = 40, 10
ROUNDS = 3
CHOSEN = "chosen"  # train.py chooses
CANDIDATES = (CHOSEN, "0", "1000", "5000", "300000")


@contextmanager
def busy(num_programs: int) -> Iterator[None]:
    programs = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(num_programs)
    ]
    try:
        yield
    finally:
        for program in programs:
            program.kill()
            program.wait()


def tokens_per_second(spins: str, num_programs: int, data_path: str) -> float:
    keys = {"max_steps": STEPS, "val_every_steps": 10**6, "val_fraction": 0.01}
    variables = {} if spins == CHOSEN else {"GOMP_SPINCOUNT": spins}
    with busy(num_programs):
        return logged_rate([*DEFAULT_CONFIG], keys | {"data_path": data_path}, SKIPPED, **variables)


def table(figures: dict[str, Any]) -> str:
    rows = []
    for spins, rates in figures["tokens_per_second"].items():
        idle = rates["0"]
        slower = [f"{idle / rate:.2f} x" for programs, rate in rates.items() if programs != "0"]
        rows.append((spins, f"{idle:,.0f}", *slower))
    programs = [name for name in rates if name != "0"]
    header = ("turns", "tokens/s, idle", *(f"a step beside {name} busy" for name in programs))
    return tabulate(rows, header, tablefmt="pipe", disable_numparse=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data_path", default="data/input.txt")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    arguments = parser.parse_args()
    numbers = sorted({0, 1, available_cores()})
    rounds: dict[str, dict[str, list[float]]] = {
        spins: {str(number): [] for number in numbers} for spins in CANDIDATES
    }
    for _ in range(arguments.rounds):
        for number in numbers:
            for spins in CANDIDATES:
                rate = tokens_per_second(spins, number, arguments.data_path)
                rounds[spins][str(number)].append(rate)
                print(f"{number} busy, {spins} turns: {rate:,.0f} tokens/s", flush=True)
    rates = {
        spins: {number: median(values) for number, values in by_number.items()}
        for spins, by_number in rounds.items()
    }
    chosen = {"alone": SPINS_ALONE, "beside others": SPINS_BESIDE_OTHERS}
    figures = {"chosen": chosen, "tokens_per_second": rates, "rounds": rounds}
    print(table(figures))
    print(save("busy_cores", figures))


if __name__ == "__main__":
    main()
