"""The LightningDataModule of pairs: which pairs a run sees, in which order, after a resume."""

from functools import partial
from itertools import islice
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from transformer.data.pairs import datamodule
from transformer.data.pairs.datamodule import PairDataModule
from transformer.data.pairs.reading import read_pairs
from transformer.data.pairs.settings import PairSettings
from transformer.special_ids import END
from transformer.system.errors import UserError

SETTINGS = {"target_units": "words", "block_size": 5, "batch_size": 3, "seed": 2}


@pytest.fixture
def make_data(tmp_path):
    """60 sources, each a character of its own three times or less, so that it can be followed."""
    path = tmp_path / "words.tsv"
    lines = [f"{chr(0x4E00 + n) * (1 + n % 3)}\t{'A ' * (1 + n % 5)}\n" for n in range(60)]
    path.write_text("".join(lines), encoding="utf-8")
    return lambda **settings: PairDataModule(path, **SETTINGS | settings)


def on_rank(data: PairDataModule, rank: int, world_size: int, batches: int = 0) -> Any:
    """`data` as a Trainer of this rank would hold it after so many batches."""
    loop = SimpleNamespace(batch_idx=batches - 1, total_batch_idx=batches - 1)
    place = {"world_size": world_size, "global_rank": rank}
    data.trainer = SimpleNamespace(**place, fit_loop=loop, overfit_batches=0)  # type: ignore[assignment]
    return data


def seen(data: PairDataModule, loader: Any, count: int | None = None) -> list[list[str]]:
    """The sources of each batch."""
    decode = data.tokenizer.source.decode
    return [[decode(row) for row in source] for source, _, _ in islice(loader, count)]


def flat(rows: list[list[str]]) -> list[str]:
    return [source for row in rows for source in row]


def test_training_and_validation_see_their_split_and_nothing_else(make_data):
    data = make_data(batch_size=1, val_fraction=0.2, test_fraction=0.2)
    train, val, test = ({data.pairs.sources[index] for index in indices} for indices in data.splits)
    assert all((train, val, test))
    assert sorted(flat(seen(data, data.train_dataloader()))) == sorted(train)
    assert sorted(flat(seen(data, data.val_dataloader()))) == sorted(val)


def test_numbers_of_examples_and_tokens_are_those_of_the_splits(make_data):
    data = make_data()
    assert data.num_examples == len(data.splits.train)
    for indices, num_tokens in (
        (data.splits.train, data.num_train_tokens),
        (data.splits.val, data.num_val_tokens),
    ):
        pairs = [(data.pairs.sources[i], data.pairs.targets[i].split()) for i in indices]
        assert num_tokens == sum(len(source) + len(target) + 1 for source, target in pairs)


def test_sizes_and_state_are_the_tokenizers(make_data):
    data = make_data()
    assert data.sizes == {"vocab_size": 4, "source_vocab_size": 63}
    assert data.tokenizer_state == data.pairs.tokenizer.state


def test_pairs_that_were_read_already_are_taken(make_data, tmp_path):
    units = {"source_units": "characters", "target_units": "words"}
    pairs = read_pairs(tmp_path / "words.tsv", PairSettings(block_size=5, **units))
    assert PairDataModule("none.tsv", **SETTINGS, pairs=pairs).pairs is pairs


@pytest.mark.parametrize("num_workers", [1, 2])
def test_batches_are_the_same_for_any_number_of_workers(make_data, num_workers):
    data = make_data()
    alone, shared = (
        make_data(num_workers=number).train_dataloader() for number in (0, num_workers)
    )
    for _ in range(2):
        expected = seen(data, alone)
        assert len(expected) == data.num_examples // 3
        assert seen(data, shared) == expected
    shared._iterator._shutdown_workers()  # the garbage collector would wait 10 s for each


def test_loaded_state_goes_on_with_the_order(make_data):
    data = make_data(endless=True)
    whole = seen(data, data.train_dataloader(), 40)
    resumed = make_data(endless=True)
    resumed.load_state_dict({"examples_consumed": 21 * 3})
    assert seen(data, resumed.train_dataloader(), 19) == whole[21:]
    assert resumed.state_dict() == {"examples_consumed": 63}


def test_state_counts_the_pairs_of_all_ranks(make_data):
    data = make_data(endless=True)
    on_rank(data, 1, 3).train_dataloader()
    assert on_rank(data, 1, 3, batches=7).state_dict() == {"examples_consumed": 7 * 3 * 3}


def test_ranks_together_train_on_the_global_batch(make_data):
    data = make_data(batch_size=6, endless=True)
    whole = seen(data, data.train_dataloader(), 20)
    ranks = [
        seen(data, on_rank(make_data(endless=True), rank, 2).train_dataloader(), 20)
        for rank in (0, 1)
    ]
    assert [sorted(a + b) for a, b in zip(*ranks, strict=True)] == [sorted(row) for row in whole]


def test_ranks_together_validate_each_pair_once(make_data):
    data = make_data(val_fraction=0.4)
    scored = [
        flat(seen(data, on_rank(make_data(val_fraction=0.4), rank, 2).val_dataloader()))
        for rank in (0, 1)
    ]
    assert abs(len(scored[0]) - len(scored[1])) <= 1
    assert sorted(flat(scored)) == sorted(data.pairs.sources[i] for i in data.splits.val)


@pytest.mark.parametrize("world_size", [2, 3])
def test_ranks_have_equally_many_validation_batches(make_data, monkeypatch, world_size):
    """Batches are cut by their length in tokens, which is another on each rank."""
    small = partial(datamodule.SortedPairBatches, tokens=30)
    monkeypatch.setattr(datamodule, "SortedPairBatches", small)
    datas = [make_data(val_fraction=0.4) for _ in range(world_size)]
    own = [len(data._val_batches(rank, world_size)) for rank, data in enumerate(datas)]
    assert len(set(own)) > 1
    loaders = [on_rank(data, rank, world_size).val_dataloader() for rank, data in enumerate(datas)]
    assert [len(list(loader)) for loader in loaders] == [max(own)] * world_size
    num_ends = sum(int((b[2] == END).sum()) for loader in loaders for b in loader)
    assert num_ends == len(datas[0].splits.val)


def test_large_validation_split_is_sampled_evenly(make_data):
    data = make_data(val_fraction=0.5)
    data.look_at(data.num_val_tokens // 3)
    total = len(data.splits.val)
    assert len(flat(seen(data, data.val_dataloader()))) == pytest.approx(total / 3, abs=1)


def test_file_that_leaves_a_split_empty_is_an_error(make_data):
    with pytest.raises(UserError, match=r"words\.tsv: 60 pairs, and no pair is for validation: "):
        make_data(val_fraction=0.0)


def test_bad_lines_are_an_error_unless_they_are_skipped(make_data):
    with pytest.raises(UserError, match="target longer than block_size=4 in lines 5, 10, 15, 20"):
        make_data(block_size=4)
    data = make_data(block_size=4, skip_bad_lines=True)
    assert (data.pairs.num_skipped, len(data.pairs.sources)) == (12, 48)


def test_batches_are_integers_of_64_bits(make_data):
    for batch in make_data().train_dataloader():
        assert [part.dtype for part in batch] == [torch.int64] * 3
