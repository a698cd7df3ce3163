"""What is faster on this machine: measured once, then remembered in the user's cache folder."""

import json
import logging
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from filelock import FileLock, Timeout
from platformdirs import user_cache_path

from transformer.system.devices import processor_name
from transformer.system.files import write_text
from transformer.system.paths import expanded

FILE, LOCK = "speeds.json", "speeds.lock"
ROWS = (16, 64, 256, 1024)
NO_CONTEST = 2.0  # times slower than the fastest: then no closer look is taken
WORTH_ROUNDING = 1.05  # another format must be so much faster than float32, which is exact
ROUNDS, LEAST_SECONDS = 3, 0.05  # at least, for each size: another program may slow some down
SECONDS = 0.3  # after which no larger number of rows is tried
_LOCK_SECONDS = 30.0
_LIMITS = ("ONEDNN_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS")  # which instructions may be used

log = logging.getLogger(__name__)

# Does its work for about so many rows, or whatever the sizes count.
Candidate = Callable[[int], object]


class Precision(NamedTuple):
    """The name of a number format, and in words why; empty where nothing was measured."""

    name: str
    why: str = ""

    def __str__(self) -> str:
        return ", ".join(filter(None, self))


def fastest(seconds: Mapping[str, float]) -> Precision:
    """The fastest number format; float32, unless another is WORTH_ROUNDING times as fast."""
    other = min(seconds.keys() - {"float32"}, key=lambda name: (seconds[name], name))
    ratio = seconds["float32"] / seconds[other]
    if ratio >= WORTH_ROUNDING:
        return Precision(other, f"{ratio:.1f} x as fast as float32 here")
    return Precision("float32", f"{1 / ratio:.1f} x as fast as {other} here")


def cache_folder(named: str | None) -> Path:
    return Path(expanded(named)) if named else user_cache_path("transformer-trainer")


def seconds_of(
    question: str,
    candidates: Mapping[str, Candidate],
    folder: Path,
    sizes: Sequence[int] = ROWS,
    *,
    shared: bool = False,
) -> dict[str, float] | None:
    """The seconds that each candidate takes here, as remembered in `folder`, or measured now.

    They are those of one of the `sizes`: see `measure_all`. Processes that ask at the same time
    wait for the first one's answer, so that all get the same. If the folder cannot be used, every
    call measures, and a line says so; but if several processes must get the same answer (`shared`),
    there is none.
    """
    key = f"{question}; {machine()}"
    try:
        if _answers(known := _read(folder / FILE).get(key), candidates):
            return known
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / LOCK, timeout=_LOCK_SECONDS):
            known = _read(folder / FILE)
            if not _answers(known.get(key), candidates):
                known[key] = measure_all(candidates, sizes)
                write_text(folder / FILE, json.dumps(known, indent=2) + "\n")
            return known[key]
    except (OSError, Timeout) as error:
        log.info(
            "%s: cannot be used (%s), so another run may choose otherwise; give --cache_dir",
            folder,
            getattr(error, "strerror", None) or "it is locked",
        )
        return None if shared else measure_all(candidates, sizes)


def machine() -> str:
    """What the answers depend on."""
    capability = torch.backends.cpu.get_cpu_capability()
    limits = [os.environ.get(name, "") for name in _LIMITS]
    parts = [processor_name(), capability, *limits, f"torch {torch.__version__}"]
    return ", ".join([*filter(None, parts), f"{torch.get_num_threads()} threads"])


def measure_all(
    candidates: Mapping[str, Candidate], sizes: Sequence[int] = ROWS
) -> dict[str, float]:
    """The shortest time of each, in turn, for the largest of the `sizes` that SECONDS allow.

    As soon as one is far slower, it is not tried for more: a processor without bfloat16 would need
    seconds for them. Its time is then as many times the shortest as before.
    """
    started_at = time.perf_counter()
    times = _in_turn(candidates, sizes[0])  # the first calls also prepare kernels
    slower: dict[str, float] = {}  # times slower than the fastest
    for size in sizes:
        close = {name: work for name, work in candidates.items() if name not in slower}
        times = _in_turn(close, size, ROUNDS, LEAST_SECONDS)
        least = min(times.values())
        slower |= {name: t / least for name, t in times.items() if t >= NO_CONTEST * least}
        times |= {name: ratio * least for name, ratio in slower.items()}
        alone = len(slower) == len(candidates) - 1
        if alone or time.perf_counter() - started_at > SECONDS:
            break
    return times


def _in_turn(
    candidates: Mapping[str, Candidate], size: int, rounds: int = 1, least_seconds: float = 0.0
) -> dict[str, float]:
    times = dict.fromkeys(candidates, math.inf)
    first_at = time.perf_counter()
    while rounds > 0 or time.perf_counter() - first_at < least_seconds:
        rounds -= 1
        for name, work in candidates.items():
            started_at = time.perf_counter()
            work(size)
            times[name] = min(times[name], time.perf_counter() - started_at)
    return times


def training_products(width: int, bf16: bool) -> Candidate:
    """A feed-forward layer of this width, forward and backward, as a run computes it."""
    generator = torch.Generator().manual_seed(0)
    shapes = ((4 * width, width), (width, 4 * width))
    weights = [torch.randn(shape, generator=generator).requires_grad_() for shape in shapes]

    def work(num_rows: int) -> None:
        x = torch.ones(num_rows, width)
        with torch.enable_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            for weight in weights:
                x = F.linear(x, weight)
        torch.autograd.grad(x.sum(), weights)

    return work


def _read(path: Path) -> dict[str, Any]:
    """Nothing, for a file that is damaged or not there."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _answers(answer: Any, candidates: Mapping[str, Candidate]) -> bool:
    if not isinstance(answer, dict) or set(answer) != set(candidates):
        return False
    return all(isinstance(t, float) and 0 < t < math.inf for t in answer.values())
