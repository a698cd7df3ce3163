"""What a run gains that starts from a model: `OMP_NUM_THREADS=1 python benchmarks/start_from.py`

[--kills 0]

A model learns all plays of Shakespeare but the comedies, with default.yaml's recipe; then runs that
start from it learn the comedies, and so do runs that start from nothing, for three times as many
steps. `start_from.json` keeps what each reached, and a run that it has is not made again.

With `--kills`, runs that start from a model and replay its text are killed as often and resumed
instead, and compared with one that was not: `start_from_kills.json`.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from record import DEFAULT_CONFIG, ROOT, make_missing, save

from transformer.data.built_in.shakespeare import plays, read_play

NAME = "start_from"
OLD_STEPS, STEPS = 1200, 600
SHARE = 3  # of the steps from nothing, a run that starts from a model takes one in so many
# Flags and seed of each run.
RUNS: list[tuple[str, dict[str, Any], int]] = [
    ("new", {}, 0),
    ("started", {"lr": 1e-3}, 0),
    ("started", {"lr": 3e-3}, 0),
    ("started", {"lr": 1e-2}, 0),
    ("started", {"lr": 3e-3, "warmup_steps": 0}, 0),
    ("started", {"lr": 3e-3, "replay_fraction": 0.2}, 0),
    ("started", {}, 0),
    ("new", {}, 1),
    ("started", {}, 1),
    ("new", {}, 2),
    ("started", {}, 2),
    ("started", {"replay_fraction": 0.2}, 0),
]


@cache
def home() -> Path:
    folder = tempfile.mkdtemp()
    return Path(folder)


@cache
def text(kind: str) -> Path:
    path = home() / f"{kind}.txt"
    chosen = [
        read_play(play)
        for name, play in plays().items()
        if name.startswith("comedies/") == (kind == "comedies")
    ]
    path.write_text("\n\n".join(chosen) + "\n", encoding="utf-8")
    return path


def train(name: str, *flags: Any) -> Path:
    """The folder of the finished run."""
    command = [sys.executable, ROOT / "train.py", *flags, "--runs_dir", home(), "--run_name", name]
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)
    return max((home() / name).glob("version_*"), key=lambda path: path.stat().st_mtime)


@cache
def old_model() -> Path:
    return train("old", *DEFAULT_CONFIG, "--data_path", text("others"), "--max_steps", OLD_STEPS)


def measure(run: dict[str, Any]) -> dict[str, Any]:
    flags = [part for key, value in run["keys"].items() for part in (f"--{key}", value)]
    flags += ["--data_path", text("comedies"), "--seed", run["seed"]]
    if run["kind"] == "new":
        folder = train("new", *DEFAULT_CONFIG, "--max_steps", STEPS, *flags)
    else:
        steps = STEPS // SHARE
        folder = train("started", "--start_from", old_model(), "--max_steps", steps, *flags)
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    before = json.loads((old_model() / "summary.json").read_text(encoding="utf-8"))
    names = ("val_loss", "old_val_loss", "step", "elapsed_seconds")
    found = {name: summary[name] for name in names if name in summary}
    return run | found | {"old_val_loss_before": before["val_loss"]}


def kills(number: int, keys: dict[str, Any]) -> dict[str, Any]:
    """`keys` are those of the runs that start from a model."""
    import crash_test

    flags = [part for key, value in crash_test.FLAGS.items() for part in (f"--{key}", value)]
    others = (*DEFAULT_CONFIG, "--data_path", text("others"))
    old = train("small", *others, *flags, "--max_steps", 60, "--val_every_steps", 30)
    crash_test.FLAGS.update({"start_from": str(old), **keys})
    return crash_test.counted("killed", number, processes=1, seed=0)


def kills_asked(description: str | None) -> int:
    """The value of the flag --kills."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=0)
    return parser.parse_args().kills


def main() -> None:
    if number := kills_asked(__doc__):
        print(save("start_from_kills", kills(number, {"replay_fraction": 0.2})))
        return
    names = ("kind", "keys", "seed")
    make_missing(NAME, (dict(zip(names, run, strict=True)) for run in RUNS), measure)


if __name__ == "__main__":
    main()
