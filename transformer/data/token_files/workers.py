"""Processes that read and encode files at the same time, with a progress bar. Imports no torch."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait
from multiprocessing.context import BaseContext
from typing import Any, TypeVar

from transformer.system.cores import available_cores
from transformer.system.errors import UserError
from transformer.system.progress import progress

T = TypeVar("T")

_WORTH = 8_000_000  # bytes, for fewer no processes are started
# For the C library of Linux: memory for long texts is used again, not given back and filled with
# zeros for the next text, which takes as long as encoding it.
_KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
    "MALLOC_TOP_PAD_": str(1 << 26),
}
_IMPORTED_ONCE = "transformer.data.token_files.preparing"
_kept: dict[str, Any] = {}  # of a worker: the arguments that all its calls share


def in_parallel(
    work: Callable[..., T],
    items: Sequence[Any],
    sizes: Sequence[int],
    shared: tuple[Any, ...],
    what: str,
) -> Iterator[T]:
    """`work(item, *shared)` for each item, in order; `sizes` are their bytes, for the bar."""
    number = min(available_cores(), len(items))
    with progress(what, sum(sizes)) as bar:
        if number < 2 or sum(sizes) < _WORTH:
            results: Iterator[T] = (work(item, *shared) for item in items)
            yield from _counted(results, sizes, bar)
            return
        try:
            with (
                _environment(_KEEP_MEMORY),
                ProcessPoolExecutor(number, _context(), _begin, (work, shared)) as pool,
            ):
                try:
                    yield from _counted(pool.map(_call, items), sizes, bar)
                finally:
                    pool.shutdown(wait=False, cancel_futures=True)
        except BrokenProcessPool:
            raise UserError(
                f"{what}: a helping process has ended, perhaps for lack of memory: start again; "
                "what is done is kept"
            ) from None


@contextmanager
def _environment(changes: Mapping[str, str]) -> Iterator[None]:
    """For processes that are started in the block; what the user has set stays."""
    added = changes.keys() - os.environ.keys()
    os.environ.update({name: changes[name] for name in added})
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def _counted(results: Iterator[T], sizes: Sequence[int], bar: Any) -> Iterator[T]:
    for result, size in zip(results, sizes, strict=True):
        bar.update(size)
        yield result


def _context() -> BaseContext:
    """How processes begin. On Linux one process imports, and all others are copies of it.

    So a second pass begins at once. Other systems' libraries may not survive to be copied.
    """
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([_IMPORTED_ONCE])
    return context


def _begin(work: Any, shared: tuple[Any, ...]) -> None:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # each process has one core
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its helpers
    _kept.update(work=work, shared=shared)

    def watch() -> None:
        """Ends this process if its parent was killed."""
        if (parent := multiprocessing.parent_process()) is not None:
            wait([parent.sentinel])
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _call(item: Any) -> Any:
    return _kept["work"](item, *_kept["shared"])
