"""Saves the results of benchmarks together with machine, versions, date and commit."""

import json
import os
import platform
import subprocess
import sys
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
sys.path.insert(0, str(ROOT))  # so that the package is found even if it is not installed

from transformer.system.devices import processor_name  # noqa: E402
from transformer.system.files import write_text  # noqa: E402


def circumstances() -> dict[str, Any]:
    return {
        "date": date.today().isoformat(),
        "commit": _commit(),
        "machine": f"{os.cpu_count()} cores, {processor_name()}",
        "python": platform.python_version(),
        "torch": version("torch"),
        "pytorch_lightning": version("pytorch-lightning"),
    }


def save(name: str, figures: Any) -> Path:
    """Writes `results/<name>.json`, and replaces an older file."""
    path = RESULTS / f"{name}.json"
    content = {"circumstances": circumstances(), "figures": figures}
    write_text(path, json.dumps(content, indent=2) + "\n")
    return path


def load(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def _commit() -> str:
    """The measured commit, with a plus if files other than results differ from it."""
    changes = _git(
        "status", "--porcelain", "--untracked-files=no", "--", ".", ":!benchmarks/results"
    )
    return (_git("rev-parse", "--short=12", "HEAD") or "unknown") + "+" * bool(changes)


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    return answer.stdout.strip()
