"""What is faster on this machine: measured once, then remembered in the user's cache folder."""

import json
import logging
import math
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from filelock import FileLock, Timeout

from transformer.system.devices import processor_details, processor_name
from transformer.system.files import write_text

FILE, LOCK = "speeds.json", "speeds.lock"
ROWS = (16, 64, 256, 1024)
# Times slower than the fastest: then no closer look is taken. With few rows, what is twice as slow
# may be twice as fast with many: bf16 first has to make copies of the weights.
NO_CONTEST = 8.0
WORTH_CHANGING = 1.05  # another choice than the plain one must be so much faster
CALLS = 2  # of a candidate in its turn: the first may have to start its threads
ROUNDS, LEAST_SECONDS = 2, 0.05  # at least, for each size: other programs may slow some tries down
SECONDS = 0.8  # in which a larger size must end, or else it is not tried
# So long an answer counts that was measured while other programs held cores: then all who ask
# together get the same, but a busy minute does not decide for ever.
UNSURE_SECONDS = 600.0
UNSURE_NOTE = "measured beside other programs, so a repeat may choose otherwise"
_NOT_MEASURED = "not measured beside other programs, so a repeat may choose otherwise"
_UNSURE = "measured while other programs held cores"  # in the file: the keys, and when that was
_LOCK_SECONDS = 30.0
_LOOK_SECONDS, _FREE = 0.1, 0.75
# Of a product in which each thread has its own rows: its work and memory grow with the threads.
_ROWS_EACH, _WIDTH = 256, 512
_LIMITS = ("ONEDNN_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS")  # which instructions may be used

log = logging.getLogger(__name__)

# Does its work for about so many rows, or whatever the sizes count.
Candidate = Callable[[int], object]


class Choice(NamedTuple):
    """What was chosen, and why in words; empty if it was given, or there was nothing to choose."""

    name: str
    why: str = ""

    def __str__(self) -> str:
        return ", ".join(filter(None, self))


class Answer(dict[str, float]):
    """Seconds by name; not `sure` if other programs held cores while they were measured."""

    def __init__(self, seconds: Mapping[str, float], *, sure: bool = True) -> None:
        super().__init__(seconds)
        self.sure = sure


def is_sure(seconds: Mapping[str, float]) -> bool:
    return not isinstance(seconds, Answer) or seconds.sure


def fastest(
    seconds: Mapping[str, float], plain: str, worth_changing: float = WORTH_CHANGING
) -> Choice:
    """The plain choice, unless another is at least `worth_changing` times as fast."""
    other = min(seconds.keys() - {plain}, key=lambda name: (seconds[name], name))
    ratio = seconds[plain] / seconds[other]
    note = "" if is_sure(seconds) else f"; {UNSURE_NOTE}"
    if ratio >= worth_changing:
        return Choice(other, f"{ratio:.1f} x as fast as {plain} here{note}")
    return Choice(plain, f"{1 / ratio:.1f} x as fast as {other} here{note}")


def seconds_of(
    question: str,
    candidates: Mapping[str, Candidate],
    folder: Path,
    sizes: Sequence[int] = ROWS,
    *,
    shared: bool = False,
    needs_free_cores: bool = False,
) -> Answer | None:
    """The seconds that each candidate takes here, as remembered in `folder`, or measured now.

    They are those of one of the `sizes`: see `measure_all`. What is measured while other programs
    hold cores is remembered for UNSURE_SECONDS. Processes that ask at the same time wait for the
    first one's answer, so that all get the same. If the folder cannot be used, or no answer can be
    written to it, every call measures, and a line says so; but if several processes must get the
    same answer (`shared`), there is none. There is none either for a question that
    `needs_free_cores` while other programs hold some.
    """
    key = _key(question)  # before a candidate changes the number of threads

    def measured() -> Answer | None:
        if needs_free_cores and not cores_are_free():
            log.info("%s: %s", question, _NOT_MEASURED)
            return None
        return _measured(candidates, sizes)

    try:
        if (answer := _answer(key, candidates, folder)) is not None:
            return answer
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / LOCK, timeout=_LOCK_SECONDS):
            if (answer := _answer(key, candidates, folder)) is not None:
                return answer
            answer = measured()
            if answer is None or _keep(key, answer, folder) or not shared:
                return answer
            return None
    except (OSError, Timeout) as error:
        _say_unusable(folder, _reason(error))
        return None if shared else measured()


def _measured(candidates: Mapping[str, Candidate], sizes: Sequence[int]) -> Answer:
    """Whatever a candidate sets, all threads look whether their cores are free, and stay."""
    threads = torch.get_num_threads()
    try:
        seconds = measure_all(candidates, sizes)
    finally:
        torch.set_num_threads(threads)
    return Answer(seconds, sure=cores_are_free())


def recalled(question: str, names: Iterable[str], folder: Path) -> Answer | None:
    """The seconds of these names, as `folder` remembers them for this machine, or None."""
    try:
        return _answer(_key(question), names, folder)
    except OSError:
        return None


def remember(question: str, answer: Mapping[str, float], folder: Path) -> None:
    """For `recalled`; an `Answer` that is not sure counts for UNSURE_SECONDS.

    A line says so if the folder cannot be used.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / LOCK, timeout=_LOCK_SECONDS):
            _keep(_key(question), answer, folder)
    except (OSError, Timeout) as error:
        _say_unusable(folder, _reason(error))


def remembered(
    question: str, names: Iterable[str], folder: Path, measure: Callable[[], Mapping[str, float]]
) -> Mapping[str, float]:
    """What `folder` remembers of these names; otherwise it is measured, and remembered."""
    if (answer := recalled(question, names, folder)) is not None:
        return answer
    remember(question, measured := measure(), folder)
    return measured


def _answer(key: str, names: Iterable[str], folder: Path) -> Answer | None:
    known = _read(folder / FILE)
    answer: Any = known.get(key)
    measured_at = _unsure(known).get(key)
    is_old = measured_at is not None and time.time() - measured_at > UNSURE_SECONDS
    if is_old or not _answers(answer, names):
        return None
    return Answer(answer, sure=measured_at is None)


def _keep(key: str, answer: Mapping[str, float], folder: Path) -> bool:
    """Whether it could be written; a line says so if not. The caller holds the lock."""
    known = _read(folder / FILE) | {key: dict(answer)}
    unsure = {other: at for other, at in _unsure(known).items() if other != key}
    if not is_sure(answer):
        unsure[key] = time.time()
    known.pop(_UNSURE, None)
    known |= {_UNSURE: unsure} if unsure else {}
    try:
        write_text(folder / FILE, json.dumps(known, indent=2) + "\n")
    except OSError as error:
        _say_unusable(folder, _reason(error))
        return False
    return True


def _unsure(known: Mapping[str, Any]) -> dict[str, float]:
    unsure = known.get(_UNSURE)
    items = unsure.items() if isinstance(unsure, dict) else ()
    return {key: at for key, at in items if isinstance(at, int | float)}


def _key(question: str) -> str:
    return f"{question}; {machine()}"


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or "it is locked"


@cache  # once in a process, and not for each question
def _say_unusable(folder: Path, reason: str) -> None:
    log.info(
        "%s: cannot be used (%s), so another run may choose otherwise; give --cache_dir",
        folder,
        reason,
    )


@cache
def _say_damaged(path: Path) -> None:
    log.info("%s: damaged, so all is measured anew, and this run may choose otherwise", path)


def machine() -> str:
    """What the answers depend on."""
    capability = torch.backends.cpu.get_cpu_capability()
    limits = [os.environ.get(name, "") for name in _LIMITS]
    parts = [processor_name(), processor_details(), capability, *limits]
    parts.append(f"torch {torch.__version__}")
    return ", ".join([*filter(None, parts), f"{torch.get_num_threads()} threads"])


def cores_are_free() -> bool:
    """Whether each thread of this process gets the time of a core for itself."""
    rows = torch.ones(_ROWS_EACH * torch.get_num_threads(), _WIDTH)
    weights, result = torch.ones(_WIDTH, _WIDTH), torch.empty_like(rows)
    started_at, cpu_before = time.perf_counter(), time.process_time()
    while (seconds := time.perf_counter() - started_at) < _LOOK_SECONDS:
        torch.mm(rows, weights, out=result)
    cpu_seconds = time.process_time() - cpu_before
    return cpu_seconds > _FREE * seconds * torch.get_num_threads()


def measure_all(
    candidates: Mapping[str, Candidate], sizes: Sequence[int] = ROWS
) -> dict[str, float]:
    """The shortest time of each, in turn, for the largest of the `sizes` that SECONDS allow.

    As soon as one is far slower, it is not tried for more: a processor without bfloat16 would need
    seconds for them. Its time is then as many times the shortest as before. Times are taken to grow
    with the size.
    """
    started_at = time.perf_counter()
    times = _in_turn(candidates, sizes[0])  # the first calls also prepare kernels
    slower: dict[str, float] = {}  # times slower than the fastest
    for size, larger in zip(sizes, (*sizes[1:], math.inf), strict=True):
        begun_at = time.perf_counter()
        close = {name: work for name, work in candidates.items() if name not in slower}
        times = _in_turn(close, size, ROUNDS, LEAST_SECONDS)
        now = time.perf_counter()
        least = min(times.values())
        slower |= {name: t / least for name, t in times.items() if t >= NO_CONTEST * least}
        times |= {name: ratio * least for name, ratio in slower.items()}
        alone = len(slower) == len(candidates) - 1
        if alone or now - started_at + (now - begun_at) * larger / size > SECONDS:
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
            for _ in range(CALLS):
                started_at = time.perf_counter()
                work(size)
                times[name] = min(times[name], time.perf_counter() - started_at)
    return times


def _read(path: Path) -> dict[str, Any]:
    """Nothing, for a file that is damaged or not there; a line says that it is damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError):  # lists in lists in lists ...
        content = None
    if isinstance(content, dict):
        return content
    _say_damaged(path)
    return {}


def _answers(answer: Any, names: Iterable[str]) -> bool:
    if not isinstance(answer, dict) or set(answer) != set(names):
        return False
    return all(isinstance(t, float) and 0 < t < math.inf for t in answer.values())
