"""Checks that runs which were killed or interrupted and then resumed equal an undisturbed run.

`python benchmarks/crash_test.py` trains a small GPT once undisturbed and then many times with a
disturbance. A run is killed (SIGKILL) at a random moment, in a third of the cases while a
checkpoint is being written, or asked to end (SIGTERM, Ctrl+C). It is resumed with `train.py
--resume`. Weights, moments, random numbers, data and curves are compared bit for bit. The counts go
to crash_test.json.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from record import DEFAULT_CONFIG, ROOT, save

from transformer.data.built_in.registry import build_source
from transformer.run.comparison import differences
from transformer.storage.run_folder import LAST

NUM_CHARACTERS = 20_000
FLAGS = {
    **{"batch_size": 4, "epochs": 1000, "lr": 1e-3, "block_size": 32, "num_heads": 4},
    **{"embedding_dim": 64, "num_blocks": 2, "num_workers": 0, "dropout": 0.1},
    **{"max_steps": 400, "val_every_steps": 70, "accelerator": "cpu", "precision": "float32"},
    "checkpoint_every_minutes": 0.003,  # a fifth of a second
}
OVER = "over before the signal"
END_SECONDS = 120


class Trial(NamedTuple):
    """The signal, and its moment as a share of the time from first to last checkpoint."""

    number: int
    signal_name: str
    share: float
    while_saving: bool


def write_text(home: Path) -> None:
    """The beginning of the built-in Shakespeare, as text.txt: the same until that changes."""
    corpus = home / "data" / "input.txt"
    build_source(corpus)
    text = corpus.read_text(encoding="utf-8")[:NUM_CHARACTERS]
    (home / "text.txt").write_text(text, encoding="utf-8")


def start(home: Path, *flags: str, stdout: int = subprocess.DEVNULL) -> subprocess.Popen:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *flags],
        cwd=home,
        env=environment,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
    )


def first_run(home: Path, name: str) -> subprocess.Popen:
    flags = [f"--{key}={value}" for key, value in FLAGS.items()]
    where = ["--data_path", "text.txt", "--run_name", name]
    return start(home, *DEFAULT_CONFIG, *where, *flags)


def finish(process: subprocess.Popen) -> int:
    _, errors = process.communicate(timeout=END_SECONDS)
    if process.returncode == 1:
        raise RuntimeError(errors)
    return process.returncode


def wait_for_a_checkpoint(process: subprocess.Popen, folder: Path) -> None:
    while process.poll() is None and not (folder / LAST).is_file():
        time.sleep(0.01)


def wait_for_a_half_written_one(process: subprocess.Popen, folder: Path) -> None:
    while process.poll() is None and not list((folder / LAST).parent.glob(".last.ckpt.*.tmp")):
        time.sleep(0.0005)


def attempt(home: Path, trial: Trial, undisturbed: Path, seconds: float) -> str:
    """Returns the outcome of a trial: `identical`, or what was wrong.

    If the run ends before its signal, because the speed of the machine changes, it is tried again
    with half the wait.
    """
    word = OVER
    for halved in range(4):
        if word == OVER:
            name = f"trial_{trial.number}_{halved}"
            word = disturb(home, name, trial, undisturbed, trial.share * seconds / 2**halved)
    return word


def disturb(home: Path, name: str, trial: Trial, undisturbed: Path, wait: float) -> str:
    folder = home / "runs" / name / "version_0"
    process = first_run(home, name)
    wait_for_a_checkpoint(process, folder)
    time.sleep(wait)
    if trial.while_saving:
        wait_for_a_half_written_one(process, folder)
    number = getattr(signal, trial.signal_name)
    process.send_signal(number)
    status = finish(process)
    if status == 0 or (folder / "summary.json").is_file():
        return OVER
    if status != (-number if number == signal.SIGKILL else 128 + number):
        return f"exit status {status}"
    if finish(start(home, "--resume", f"runs/{name}/version_0")) != 0:
        return "not resumed"
    found = differences(undisturbed, folder)
    return f"differs in {', '.join(found)}" if found else "identical"


def trials(kind: str, count: int, generator: random.Random) -> list[Trial]:
    names = {"killed": ["SIGKILL"], "asked to end": ["SIGINT", "SIGTERM"]}[kind]
    return [
        Trial(
            number=number,
            signal_name=names[number % len(names)],
            share=0.95 * generator.random(),
            while_saving=kind == "killed" and number % 3 == 0,
        )
        for number in range(count)
    ]


def counted(kind: str, count: int, processes: int, seed: int) -> dict[str, object]:
    """Counts the outcomes of the trials; trials with the outcome OVER test nothing."""
    generator = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        write_text(home)
        process = first_run(home, "undisturbed")
        undisturbed = home / "runs" / "undisturbed" / "version_0"
        wait_for_a_checkpoint(process, undisturbed)
        first = (undisturbed / LAST).stat().st_mtime
        assert finish(process) == 0
        seconds = (undisturbed / LAST).stat().st_mtime - first
        planned = trials(kind, count, generator)
        with ThreadPoolExecutor(processes) as pool:
            words = list(pool.map(lambda t: attempt(home, t, undisturbed, seconds), planned))
    told = Counter(words)
    for word in told:
        print(f"{kind}: {word}: {told[word]}")
    return {"trials": count, "while_saving": sum(t.while_saving for t in planned), **told}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=50, help="trials of each kind")
    parser.add_argument("--processes", type=int, default=2, help="runs at a time")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    figures = {
        kind: counted(kind, arguments.count, arguments.processes, arguments.seed)
        for kind in ("killed", "asked to end")
    }
    print(save("crash_test", {"config": FLAGS, **figures}))


if __name__ == "__main__":
    main()
