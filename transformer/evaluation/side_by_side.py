"""Several batches at the same time, each on its share of the cores.

Threads within one small operation wait for each other at its end, and far longer if another program
has one of the cores. Threads that compute a batch each wait for nobody.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

from transformer.system.memory import keep_freed_memory

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST_AT_ONCE = 4  # so many batches need memory at the same time


def side_by_side(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Like `map`: the results in the order of the items, of which only the next few are taken.

    Meanwhile torch has fewer threads; it has them back when the results end or are dropped.
    """
    keep_freed_memory()
    number = min(MOST_AT_ONCE, torch.get_num_threads())
    under_way: deque[Future[Result]] = deque()
    with _threads_for_each_of(number), ThreadPoolExecutor(number) as pool:
        for item in items:
            under_way.append(pool.submit(work, item))
            if len(under_way) > number:  # so that little is left to do after Ctrl+C
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()


@contextmanager
def _threads_for_each_of(number: int) -> Iterator[None]:
    """Divides torch's threads among threads that start in this block."""
    threads = torch.get_num_threads()
    torch.set_num_threads(threads // number)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
