import platform
import threading

import pytest
import torch

from transformer.evaluation.side_by_side import MOST_AT_ONCE, side_by_side


@pytest.fixture(autouse=True, params=[1, 3, 7])
def num_threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_results_come_in_the_order_of_the_items():
    assert list(side_by_side(lambda item: item**2, range(23))) == [n**2 for n in range(23)]


def test_as_many_run_at_once_as_there_are_threads_for(num_threads):
    number = min(num_threads, MOST_AT_ONCE)
    all_are_here = threading.Barrier(number, timeout=30)

    def work(_: int) -> int:
        all_are_here.wait()  # only `number` threads at the same time can pass it
        return torch.get_num_threads()

    assert list(side_by_side(work, range(2 * number))) == [num_threads // number] * 2 * number
    assert torch.get_num_threads() == num_threads


def test_items_are_taken_when_they_are_needed(num_threads):
    taken: list[int] = []
    results = side_by_side(str, (taken.append(n) or n for n in range(23)))
    assert next(results) == "0"
    assert len(taken) <= min(num_threads, MOST_AT_ONCE) + 1
    results.close()
    assert torch.get_num_threads() == num_threads


def test_after_an_error_no_further_item_is_begun(num_threads):
    begun: list[int] = []

    def work(item: int) -> None:
        begun.append(item)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(side_by_side(work, range(23)))
    assert len(begun) <= min(num_threads, MOST_AT_ONCE) + 1
    assert torch.get_num_threads() == num_threads


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="how the GNU C library keeps memory")
def test_memory_is_not_fetched_again_for_the_next_results():
    resource = pytest.importorskip("resource")

    def work(_: int) -> None:
        for _ in range(20):
            _ = [torch.ones(2**20) for _ in range(5)]  # 1,024 pages each

    def pages_fetched() -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        list(side_by_side(work, range(8)))
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    pages_fetched()
    assert pages_fetched() < 8 * 20 * 5 * 1024 / 4
