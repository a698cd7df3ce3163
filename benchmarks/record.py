"""Saves the results of benchmarks together with machine, versions, date and commit.

Each processor has a folder, because what is fast on one may be slow on another.
"""

import json
import os
import platform
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from datetime import date
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
DEFAULT_CONFIG = ("--config", str(ROOT / "configs" / "default.yaml"))  # flags of train.py
PUBLISHED = "amd-epyc-avx512-bf16"  # whose speeds docs/ shows
# Those of the README, by what tells them apart.
SHOWN = {"without bf16": "amd-epyc-avx2", "with bf16": "intel-xeon-avx512-bf16-amx"}
sys.path.insert(0, str(ROOT))  # so that the package is found even if it is not installed

from transformer.system.devices import processor_name  # noqa: E402
from transformer.system.files import write_text  # noqa: E402
from transformer.system.git import commit_of  # noqa: E402


def circumstances() -> dict[str, Any]:
    return {
        "date": date.today().isoformat(),
        "commit": commit_of(ROOT, ":!benchmarks/results") or "unknown",
        "machine": f"{os.cpu_count()} cores, {processor_name()}",
        "python": platform.python_version(),
        "torch": version("torch"),
        "pytorch_lightning": version("pytorch-lightning"),
    }


def processor() -> str:
    """The name of its folder: the model, and the instructions that decide which format is fast."""
    import torch

    parts = [processor_name(), torch.backends.cpu.get_cpu_capability()]
    parts += ["bf16"] * torch.cpu._is_avx512_bf16_supported()
    parts += ["amx"] * torch.cpu._is_amx_tile_supported()
    return as_folder(" ".join(parts))


def as_folder(name: str) -> str:
    """`Intel(R) Xeon(R) Processor AVX512` -> `intel-xeon-avx512`."""
    plain = re.sub(r"\((r|tm)\)|processor|cpu|@.*?ghz", " ", name.lower())
    return "-".join(re.findall(r"[a-z0-9.]+", plain))


def save(name: str, figures: Any, device: str | None = None) -> Path:
    """Writes `results/<processor>/<name>.json`, and replaces an older file.

    `device` is the name of the GPU that was measured instead.
    """
    folder = RESULTS / (as_folder(device) if device else processor())
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    content = {"circumstances": circumstances(), "figures": figures}
    write_text(path, json.dumps(content, indent=2) + "\n")
    return path


def load(name: str, folder: str | None = None) -> Any:
    """Those of this processor, if no other folder is given."""
    path = RESULTS / (folder or processor()) / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8"))


def recorded(name: str) -> list[dict[str, Any]]:
    """The rows of a results file that grows run by run; empty if there is none."""
    try:
        return load(name)["figures"]
    except FileNotFoundError:
        return []


def recorded_by_name(name: str) -> dict[str, Any]:
    """The figures of a results file that keeps one for each name; empty if there is none."""
    return dict(recorded(name))


def recorded_anywhere(name: str) -> list[dict[str, Any]]:
    """The rows of all processors, for figures that do not depend on it."""
    folders = (path.parent.name for path in sorted(RESULTS.glob(f"*/{name}.json")))
    return [row for folder in folders for row in load(name, folder)["figures"]]


def only_folder(name: str) -> str:
    """Of the processor that has these results, where one result is for all."""
    (path,) = RESULTS.glob(f"*/{name}.json")
    return path.parent.name


def built_in(name: str) -> Path:
    """A corpus in the project's folder `data`, built on first use."""
    from transformer.data.built_in.registry import build_source

    path = ROOT / "data" / name
    if not path.exists():
        build_source(path)
    return path


def make_missing(
    name: str,
    runs: Iterable[dict[str, Any]],
    make: Callable[[dict[str, Any]], dict[str, Any]],
    processes: int = 1,
    made: Sequence[dict[str, Any]] = (),
) -> None:
    """Makes, prints and saves each run that is neither in the results file nor among `made`.

    With more than one process, so many are made at a time; if one fails, the others go on.
    """
    rows = recorded(name)
    known = [*rows, *made]
    missing = [run for run in runs if not any(run.items() <= row.items() for row in known)]
    for row in _made(make, missing, processes):
        rows.append(row)
        print(row, flush=True)
        save(name, rows)


def _made(
    make: Callable[[dict[str, Any]], dict[str, Any]], runs: Iterable[dict[str, Any]], processes: int
) -> Iterator[dict[str, Any]]:
    """The rows as they come."""
    if processes == 1:
        yield from map(make, runs)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        ended = list[Future[dict[str, Any]]]()
        for each in as_completed([pool.submit(make, run) for run in runs]):
            ended.append(each)
            if each.exception() is None:
                yield each.result()
    for each in ended:
        each.result()  # raises what it raised
