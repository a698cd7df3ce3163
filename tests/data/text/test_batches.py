"""Batches of chunks for training and of windows for validation."""

from itertools import islice

import pytest
import torch

from transformer.data.endless import Share
from transformer.data.order import EndlessOrder, num_chunks, num_windows
from transformer.data.text.batches import (
    ChunkBatches,
    WindowBatches,
    chunk_batch,
    validation_batch_size,
)
from transformer.special_ids import IGNORED

T, N = 5, 61  # block_size, tokens
POSITIONS = torch.arange(N, dtype=torch.int32)  # each token is its own position


def make_batches(batch_size: int = 3, stride: int = 2, **arguments: int) -> ChunkBatches:
    order = EndlessOrder(num_chunks(N, T, stride), seed=7)
    share = Share(batch_size=batch_size, **arguments)
    return ChunkBatches(POSITIONS, order, share, block_size=T, stride=stride)


def starts(batches: ChunkBatches, count: int | None = None) -> list[list[int]]:
    """Where the chunks of the first `count` batches of an iteration start."""
    return [inputs[:, 0].tolist() for inputs, _ in islice(batches, count)]


def order_of(batches: ChunkBatches, first: int, count: int) -> list[int]:
    return (batches.order.positions(first, count) * batches.stride).tolist()


def flat(rows: list[list[int]]) -> list[int]:
    return [start for row in rows for start in row]


def test_targets_are_the_tokens_moved_by_one():
    inputs, targets = chunk_batch(POSITIONS, torch.tensor([0, 17, 55]), T)
    assert inputs.tolist() == [[s, s + 1, s + 2, s + 3, s + 4] for s in (0, 17, 55)]
    assert torch.equal(targets, inputs + 1)
    assert inputs.dtype == targets.dtype == torch.int64


def test_batches_follow_the_order_of_chunks():
    batches = make_batches()
    assert flat(starts(batches, 200)) == order_of(batches, 0, 600)


def test_changed_batch_size_reads_the_same_order():
    assert flat(starts(make_batches(batch_size=3), 70)) == flat(
        starts(make_batches(batch_size=7), 30)
    )


def test_order_goes_on_from_any_chunk_with_another_batch_size():
    before = flat(starts(make_batches(batch_size=3), 5))
    after = flat(starts(make_batches(batch_size=7, first_example=15), 4))
    assert before + after == order_of(make_batches(), 0, 43)


def test_batch_may_span_two_epochs_and_every_chunk_still_comes_once_in_each():
    batches = make_batches(batch_size=3)
    num = batches.order.size
    assert num % 3
    seen = flat(starts(batches, num))
    for epoch in range(3):
        assert sorted(seen[epoch * num : (epoch + 1) * num]) == [2 * n for n in range(num)]


def test_fewer_chunks_than_a_batch_holds_still_fill_every_batch():
    batches = make_batches(batch_size=67)
    assert batches.order.size == 28
    assert [len(row) for row in starts(batches, 3)] == [67, 67, 67]


@pytest.mark.parametrize("world_size", [2, 3])
def test_slices_of_all_ranks_are_the_global_batch(world_size):
    """None twice and none missing, for more batches than are worked out ahead."""
    whole = starts(make_batches(batch_size=3 * world_size), 70)
    ranks = [
        starts(make_batches(batch_size=3, rank=rank, world_size=world_size), 70)
        for rank in range(world_size)
    ]
    assert [flat(list(slices)) for slices in zip(*ranks, strict=True)] == whole


def test_finite_pass_ends_and_the_next_goes_on_where_it_ended():
    batches = make_batches(batches_per_pass=10)
    passes = [starts(batches) for _ in range(3)]
    assert [len(rows) for rows in passes] == [10, 10, 10]
    assert flat(flat(passes)) == order_of(batches, 0, 90)


def test_finite_pass_of_a_resumed_run_starts_at_its_first_chunk():
    batches = make_batches(batches_per_pass=4, first_example=11)
    assert flat(starts(batches) + starts(batches)) == order_of(batches, 11, 24)


@pytest.mark.parametrize("num_tokens", [2, 5, 6, 7, 11, 61])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_windows_score_each_token_but_the_first_once_in_its_place(num_tokens, batch_size):
    windows = torch.arange(num_windows(num_tokens, T))
    batches = WindowBatches(POSITIONS[:num_tokens], windows, T, batch_size)
    scored = []
    for number in range(len(batches)):
        inputs, targets = batches[number]
        assert inputs.shape == targets.shape
        assert inputs.shape[1] == T
        valid = targets != IGNORED
        assert torch.equal(targets[valid], inputs[valid] + 1)
        scored += targets[valid].tolist()
    assert scored == list(range(1, num_tokens))


def test_last_short_window_is_padded_with_targets_that_the_loss_ignores():
    batches = WindowBatches(POSITIONS[:8], torch.arange(2), T, 2)
    inputs, targets = batches[0]
    assert targets.tolist() == [[1, 2, 3, 4, 5], [6, 7, -100, -100, -100]]
    assert inputs[:, :2].tolist() == [[0, 1], [5, 6]]
    assert inputs.max() < 8  # what stands before a padded target is a token of the text


def test_windows_that_were_sampled_are_the_ones_scored():
    batches = WindowBatches(POSITIONS, torch.tensor([0, 4, 9]), T, 2)
    assert [batches[n][0][:, 0].tolist() for n in range(2)] == [[0, 20], [45]]
    assert len(batches) == 2


@pytest.mark.parametrize("number", [-1, 2])
def test_batch_past_the_end_of_the_windows_is_an_index_error(number):
    with pytest.raises(IndexError):
        WindowBatches(POSITIONS, torch.tensor([0, 4, 9]), T, 2)[number]


@pytest.mark.parametrize(
    ("block_size", "vocab_size", "device_type", "windows"),
    [
        *((64, 65, "cuda", 128), (256, 2048, "cuda", 32), (8192, 65, "cuda", 1)),
        *((10_000, 65, "cuda", 1), (64, 50_257, "cuda", 5), (64, 65, "cpu", 16)),
    ],
)
def test_validation_batch_is_limited_in_tokens_and_logits_and_holds_one_window_at_least(
    block_size, vocab_size, device_type, windows
):
    assert validation_batch_size(block_size, vocab_size, device_type) == windows
