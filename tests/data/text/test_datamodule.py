"""The LightningDataModule: what a run trains and validates on, in which order, after a resume."""

from itertools import islice
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from transformer.data.text import datamodule
from transformer.data.text.corpus import Corpus
from transformer.data.text.datamodule import CharacterDataModule
from transformer.data.text.split import cuts_at
from transformer.data.tokenizers.characters import CharacterTokenizer
from transformer.system.errors import UserError

T, N = 7, 331  # block_size, tokens
SETTINGS = {"block_size": T, "batch_size": 5, "stride": 3, "seed": 2}


def make_data(**settings: Any) -> CharacterDataModule:
    """Each token of the corpus is its own position, so that it can be followed."""
    tokenizer = CharacterTokenizer("".join(map(chr, range(N))))
    cut = cuts_at(N, settings.get("val_fraction", 0.1)).train
    corpus = Corpus(np.arange(N, dtype=np.int32), tokenizer, cut)
    return CharacterDataModule("none.txt", corpus=corpus, **SETTINGS | settings)


def on_rank(
    data: CharacterDataModule, rank: int, world_size: int, batches: int = 0, device: str = "cpu"
) -> Any:
    """`data` as a Trainer of this rank would hold it after so many batches."""
    loop = SimpleNamespace(batch_idx=batches - 1, total_batch_idx=batches - 1)
    strategy = SimpleNamespace(root_device=torch.device(device))
    place = {"world_size": world_size, "global_rank": rank, "strategy": strategy}
    data.trainer = SimpleNamespace(**place, fit_loop=loop, overfit_batches=0)  # type: ignore[assignment]
    return data


def starts(loader: Any, count: int | None = None) -> list[list[int]]:
    return [inputs[:, 0].tolist() for inputs, _ in islice(loader, count)]


def flat(rows: list[list[int]]) -> list[int]:
    return [start for row in rows for start in row]


class Recorder(pl.LightningModule):
    """Trains nothing and notes where each chunk started."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.starts: list[int] = []

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        self.starts += batch[0][:, 0].tolist()
        return self.weight * 0

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.0)


def fit(data: CharacterDataModule, ckpt_path: Any = None, **limits: int) -> tuple[list[int], Any]:
    quiet = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    trainer = pl.Trainer(accelerator="cpu", **dict.fromkeys(quiet, False), **limits)
    recorder = Recorder()
    data.val_dataloader = None  # type: ignore[method-assign,assignment]  # nothing to validate
    trainer.fit(recorder, data, ckpt_path=ckpt_path)
    return recorder.starts, trainer


# Lightning 2.6.6 advises more workers wherever there are none.
few_workers = pytest.mark.filterwarnings("ignore:.*does not have many workers:UserWarning")


def test_training_batches_are_inputs_and_targets_moved_by_one():
    inputs, targets = next(iter(make_data(endless=True).train_dataloader()))
    assert inputs.shape == (5, T)
    assert torch.equal(targets, inputs + 1)


def test_chunks_never_cross_from_training_into_validation():
    data = make_data(stride=1)
    cut = len(data.train_tokens)
    assert cut == int(0.9 * N)
    seen = {int(t) for batch in data.train_dataloader() for part in batch for t in part.unique()}
    assert seen == set(range(cut))  # all of the training split is trained on, and nothing else
    val = {int(t) for batch in data.val_dataloader() for part in batch for t in part.unique()}
    assert val - {-100} == set(range(cut, N))


@pytest.mark.parametrize("num_workers", [1, 2])
def test_batches_are_the_same_for_any_number_of_workers(num_workers):
    """Two passes of an odd number of batches, so that the workers' shares differ."""
    alone = make_data(batch_size=9).train_dataloader()
    shared = make_data(batch_size=9, num_workers=num_workers).train_dataloader()
    for _ in range(2):
        expected = starts(alone)
        assert len(expected) == 11
        assert starts(shared) == expected
    shared._iterator._shutdown_workers()  # the garbage collector would wait 10 s for each


def test_ranks_together_train_on_the_global_batch():
    whole = starts(make_data(batch_size=10, endless=True).train_dataloader(), 20)
    ranks = [
        starts(on_rank(make_data(endless=True), rank, 2).train_dataloader(), 20) for rank in (0, 1)
    ]
    assert [a + b for a, b in zip(*ranks, strict=True)] == whole


@pytest.mark.parametrize("world_size", [2, 3])
def test_ranks_together_validate_each_token_but_the_first_once(world_size):
    scored = []
    for rank in range(world_size):
        for _, targets in on_rank(make_data(), rank, world_size).val_dataloader():
            scored += targets[targets != -100].tolist()
    assert sorted(scored) == list(range(int(0.9 * N) + 1, N))


@pytest.mark.parametrize("world_size", [2, 3, 5])
def test_ranks_have_equally_many_validation_batches(monkeypatch, world_size):
    monkeypatch.setattr(datamodule, "validation_batch_size", lambda *_: 1)  # five windows in all
    loaders = [
        on_rank(make_data(), rank, world_size).val_dataloader() for rank in range(world_size)
    ]
    assert {len(list(loader)) for loader in loaders} == {-(-5 // world_size)}
    scored = [t for loader in loaders for _, targets in loader for t in targets[targets != -100]]
    assert sorted(scored) == list(range(int(0.9 * N) + 1, N))


@pytest.mark.parametrize(("device", "num_batches"), [("cpu", 4), ("meta", 1)])
def test_validation_batches_are_smaller_on_a_cpu(monkeypatch, device, num_batches):
    monkeypatch.setattr("transformer.data.text.batches.SCORED_ON_CPU", 7 * T)
    data = make_data(val_fraction=0.5)  # 24 windows
    assert len(on_rank(data, 0, 1, device=device).val_dataloader().dataset) == num_batches


def test_large_validation_split_is_sampled_evenly():
    data = make_data(val_fraction=0.5)  # 166 tokens, 24 windows
    data.look_at(3 * T)
    assert data.looked_at_tokens == 3 * T
    first = len(data.train_tokens)
    assert flat(starts(data.val_dataloader())) == [first, first + 8 * T, first + 16 * T]


def test_every_rank_has_something_to_validate_of_a_split_that_is_sampled():
    data = on_rank(make_data(val_fraction=0.5), 1, 2)
    data.look_at(1)
    assert len(flat(starts(data.val_dataloader()))) == 1


def test_finite_pass_has_as_many_batches_as_there_are_chunks_to_fill():
    data = make_data()
    loader = data.train_dataloader()
    assert data.num_examples == 97
    assert [len(starts(loader)), len(starts(loader))] == [20, 20]


def test_stride_of_a_block_trains_on_each_character_about_once_a_pass():
    data = make_data(stride="block_size")
    assert data.stride == T
    first_pass = data.order.positions(0, data.num_examples)
    targets = [start * T + i for start in first_pass for i in range(1, T + 1)]
    assert sorted(targets) == list(range(1, data.num_examples * T + 1))
    assert len(data.train_tokens) - 1 - len(targets) < T


def test_corpus_with_fewer_chunks_than_a_batch_still_trains():
    data = make_data(batch_size=211, endless=True)
    assert data.num_examples < 211
    assert [len(row) for row in starts(data.train_dataloader(), 3)] == [211, 211, 211]


def test_corpus_too_short_for_a_chunk_is_an_error():
    with pytest.raises(UserError, match=r"none\.txt: 331 characters leave 34 for validation"):
        make_data(block_size=34)


def test_state_counts_the_chunks_of_all_ranks():
    data = make_data(endless=True)
    on_rank(data, 1, 3).train_dataloader()
    assert on_rank(data, 1, 3, batches=7).state_dict() == {"examples_consumed": 7 * 3 * 5}


def test_loaded_state_goes_on_with_the_order_under_another_batch_size():
    whole = flat(starts(make_data(endless=True).train_dataloader(), 20))
    data = make_data(batch_size=13, endless=True)
    data.load_state_dict({"examples_consumed": 35})
    assert flat(starts(data.train_dataloader(), 5)) == whole[35:]
    assert data.state_dict() == {"examples_consumed": 35}


@few_workers
def test_trainer_that_resumes_twice_trains_on_the_order_of_one_that_never_stopped(tmp_path):
    expected, _ = fit(make_data(endless=True), max_steps=12)
    seen, path = [], None
    for step in (5, 8, 12):
        data = make_data(endless=True)
        more, trainer = fit(data, path, max_steps=step)
        seen += more
        assert data.state_dict() == {"examples_consumed": step * 5}
        path = tmp_path / f"{step}.ckpt"
        trainer.save_checkpoint(path, weights_only=False)
    assert seen == expected
    assert len(seen) == 60


@few_workers
def test_epochs_of_a_trainer_go_on_in_the_endless_order():
    data = make_data()
    seen, _ = fit(data, max_epochs=2)
    assert seen == (data.order.positions(0, 2 * 20 * 5) * 3).tolist()
    assert data.examples_consumed == 200


def test_data_module_builds_its_corpus_from_a_file(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text("abc\n" * 100, encoding="utf-8")
    data = CharacterDataModule(path, block_size=T, batch_size=2)
    assert (data.vocab_size, len(data.train_tokens), len(data.val_tokens)) == (4, 360, 40)
    assert data.tokenizer_state == {"kind": "character", "vocabulary": "\nabc"}


def test_a_test_reads_the_end_of_the_text_if_it_was_kept(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text("".join(map(chr, range(200, 600))), encoding="utf-8")
    for test_fraction, expected in ((0.0, range(360, 400)), (0.2, range(320, 400))):
        data = CharacterDataModule(path, block_size=T, batch_size=2, test_fraction=test_fraction)
        read = [int(i) for inputs, _ in data.test_dataloader() for i in inputs.flatten()]
        assert min(read) == expected[0]
        assert max(read) <= expected[-1]
        assert max(data.train_tokens) < min(data.val_tokens) < min(read) + 1
