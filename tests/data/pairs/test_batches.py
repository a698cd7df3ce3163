"""Batches of pairs: what stands where, the order, and how little is padding."""

from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch

from transformer.data.endless import Share
from transformer.data.order import EndlessOrder
from transformer.data.pairs import batches as pair_batches
from transformer.data.pairs.batches import PairBatches, Ragged, RaggedPairs, SortedPairBatches
from transformer.special_ids import BEGIN, END, IGNORED, PADDING


def make_pairs(num_pairs: int) -> RaggedPairs:
    """Sources of 1 to 13 units, each the pair's number, and targets that are up to 4 longer."""
    generator = np.random.Generator(np.random.PCG64(5))
    sizes = generator.integers([1, 0], [14, 5], (num_pairs, 2)).cumsum(axis=1)
    return RaggedPairs(
        Ragged(np.full(source, 3 + n, np.int32) for n, (source, _) in enumerate(sizes)),
        Ragged(np.arange(3, 3 + target, dtype=np.int32) for _, target in sizes),
    )


def make_batches(
    num_pairs: int = 210, batch_size: int = 7, seed: int = 3, **arguments: int
) -> PairBatches:
    share = Share(batch_size=batch_size, **arguments)
    return PairBatches(make_pairs(num_pairs), EndlessOrder(num_pairs, seed=3), share, seed=seed)


def numbers(batches: Any, count: int | None = None) -> list[list[int]]:
    """The pairs of each batch."""
    return [(source[:, 0] - 3).tolist() for source, _, _ in islice(batches, count)]


def flat(rows: list[list[int]]) -> list[int]:
    return [number for row in rows for number in row]


def test_padded_rows_are_the_rows_and_what_they_are_filled_with():
    rows = Ragged([np.array(row, np.int32) for row in ([5], [6, 7, 8], [9, 10])])
    assert rows.padded(torch.tensor([2, 0]), -100).tolist() == [[9, 10], [5, -100]]
    assert rows.padded(torch.tensor([0, 1]), 0).tolist() == [[5, 0, 0], [6, 7, 8]]
    assert rows.padded(torch.tensor([0]), 0).dtype == torch.int64


def test_batch_has_begin_before_the_target_and_end_after_it():
    pairs = RaggedPairs(
        Ragged([np.array([4, 5], np.int32), np.array([6], np.int32)]),
        Ragged([np.array([7], np.int32), np.array([8, 9, 10], np.int32)]),
    )
    source, tokens, targets = pairs.batch(torch.tensor([0, 1]))
    assert source.tolist() == [[4, 5], [6, PADDING]]
    assert tokens.tolist() == [[BEGIN, 7, PADDING, PADDING], [BEGIN, 8, 9, 10]]
    assert targets.tolist() == [[7, END, IGNORED, IGNORED], [8, 9, 10, END]]


def test_targets_are_the_tokens_moved_by_one_and_end_with_end():
    for _, tokens, targets in islice(make_batches(), 40):
        assert tokens.shape == targets.shape
        assert (tokens[:, 0] == BEGIN).all()
        scored = targets != IGNORED
        assert torch.equal(scored[:, 1:], tokens[:, 1:] != PADDING)
        inside = scored[:, 1:]
        assert torch.equal(targets[:, :-1][inside], tokens[:, 1:][inside])
        last = scored.sum(1) - 1
        assert (targets[torch.arange(len(targets)), last] == END).all()
        assert ((targets == END).sum(1) == 1).all()


def test_batch_is_as_long_as_its_longest_pair():
    pairs = make_batches().pairs
    for source, tokens, _ in islice(make_batches(), 40):
        rows = source[:, 0] - 3
        assert source.shape[1] == pairs.sources.lengths[rows].max()
        assert tokens.shape[1] == pairs.targets.lengths[rows].max() + 1


@pytest.mark.parametrize("pool_batches", [1, 4, 64])
def test_every_pair_comes_once_an_epoch(monkeypatch, pool_batches):
    monkeypatch.setattr(pair_batches, "POOL_BATCHES", pool_batches)
    seen = numbers(make_batches(210, 7), 90)
    epochs = [flat(seen[first : first + 30]) for first in (0, 30, 60)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(210))] * 3
    assert epochs[0] != epochs[1] != epochs[2]


@pytest.mark.parametrize("num_pairs", [67, 71, 210])
def test_no_pair_is_twice_in_an_epoch_and_every_one_comes_in_time(num_pairs):
    """With a batch size that divides no number of pairs, some are left over in each epoch."""
    per_epoch = num_pairs // 13
    seen = numbers(make_batches(num_pairs, 13), 12 * per_epoch)
    for epoch in range(12):
        pairs = flat(seen[epoch * per_epoch : (epoch + 1) * per_epoch])
        assert len(set(pairs)) == 13 * per_epoch
    assert set(flat(seen)) == set(range(num_pairs))


def test_fewer_pairs_than_a_batch_holds_still_fill_every_batch_and_each_comes_as_often():
    seen = numbers(make_batches(7, 11), 7)
    assert [len(row) for row in seen] == [11] * 7
    assert sorted(flat(seen)) == sorted(list(range(7)) * 11)


def test_batches_come_in_no_order_of_length():
    """Batches sorted by length would correlate with their place to almost 1."""
    batches = make_batches(4480, 70)
    lengths = [float((batches.pairs.sources.lengths[batches.rows(n)]).sum()) for n in range(64)]
    assert abs(np.corrcoef(lengths, range(64))[0, 1]) < 4 / 64**0.5


def test_no_two_pools_are_shuffled_alike(monkeypatch):
    """Of 12 batches, none of which has sources of one length alone: 12! = 5e8 ways."""
    monkeypatch.setattr(pair_batches, "POOL_BATCHES", 12)
    batches = make_batches(12 * 70 * 3, 70)
    lengths = batches.pairs.sources.lengths
    sizes = [int(lengths[batches.rows(number)].sum()) for number in range(72)]
    assert all(len(set(sizes[first : first + 12])) == 12 for first in range(0, 72, 12))
    ways = {tuple(np.argsort(sizes[first : first + 12])) for first in range(0, 72, 12)}
    assert len(ways) == 6


@pytest.mark.parametrize("batch_size", [7, 32])
def test_less_than_a_tenth_is_padding(batch_size):
    """It would be more than a third if pairs were not sorted."""
    assert make_batches(5000, batch_size).padding_fraction() < 0.1


def test_padding_fraction_counts_what_is_padding_in_the_batches(monkeypatch):
    monkeypatch.setattr(pair_batches, "POOL_BATCHES", 2)
    batches = make_batches()
    padding = positions = 0
    for source, tokens, _ in islice(batches, batches.batches_per_epoch):
        for part in (source, tokens):
            padding += int((part == PADDING).sum())
            positions += part.numel()
    assert batches.padding_fraction() == pytest.approx(padding / positions, rel=1e-12)


def test_batch_is_a_pure_function_of_its_number():
    in_turn = numbers(make_batches(71, 7), 40)
    batches = make_batches(71, 7)
    for number in (39, 0, 17, 38, 18):
        assert (batches.batch(number)[0][:, 0] - 3).tolist() == in_turn[number]


@pytest.mark.parametrize("consumed", [0, 7, 70, 71 * 7])
def test_run_that_goes_on_has_the_batches_of_one_that_never_stopped(consumed):
    whole = numbers(make_batches(71, 7), 90)
    assert numbers(make_batches(71, 7, first_example=consumed), 10) == (whole[consumed // 7 :][:10])


def test_another_seed_makes_other_batches_of_the_same_order():
    assert numbers(make_batches(seed=4), 30) != numbers(make_batches(), 30)
    assert sorted(map(sorted, numbers(make_batches(seed=4), 30))) == sorted(
        map(sorted, numbers(make_batches(), 30))
    )


@pytest.mark.parametrize("world_size", [2, 3])
def test_slices_of_all_ranks_are_the_global_batch(world_size):
    whole = numbers(make_batches(batch_size=5 * world_size), 50)
    ranks = [
        numbers(make_batches(batch_size=5, rank=rank, world_size=world_size), 50)
        for rank in range(world_size)
    ]
    together = [sorted(flat(list(slices))) for slices in zip(*ranks, strict=True)]
    assert together == [sorted(row) for row in whole]
    assert {len(row) for rank in ranks for row in rank} == {5}


def test_finite_pass_ends_and_the_next_goes_on_where_it_ended():
    batches = make_batches(batches_per_pass=4)
    assert numbers(batches) + numbers(batches) == numbers(make_batches(), 8)


def test_validation_has_each_pair_once_from_the_shortest_to_the_longest():
    pairs = make_pairs(300)
    rows = torch.arange(0, 300, 2)
    batches = SortedPairBatches(pairs, rows, tokens=200)
    assert len(batches) > 10
    seen = flat(numbers(batches[number] for number in range(len(batches))))
    assert sorted(seen) == rows.tolist()
    lengths = pairs.sources.lengths[torch.tensor(seen)]
    assert torch.equal(lengths, lengths.sort().values)


def test_validation_batch_holds_what_fits_into_its_tokens_and_one_pair_at_least():
    pairs = make_pairs(300)
    for tokens in (1, 20, 200):
        batches = SortedPairBatches(pairs, torch.arange(300), tokens)
        for number in range(len(batches)):
            source, inputs, _ = batches[number]
            assert source.numel() + inputs.numel() <= tokens or len(source) == 1
    assert len(SortedPairBatches(pairs, torch.arange(200))) == 1  # 200 * (13 + 18) positions


def test_no_validation_batch_could_hold_the_first_pair_of_the_next():
    pairs = make_pairs(300)
    batches = SortedPairBatches(pairs, torch.arange(300), 200)
    for number in range(len(batches) - 1):
        rows = torch.tensor(numbers([batches[number]])[0] + numbers([batches[number + 1]])[0][:1])
        source, tokens, _ = pairs.batch(rows)
        assert source.numel() + tokens.numel() > 200


@pytest.mark.parametrize("number", [-1, 1])
def test_batch_past_the_end_of_the_pairs_is_an_index_error(number):
    with pytest.raises(IndexError):
        SortedPairBatches(make_pairs(3), torch.arange(3))[number]
