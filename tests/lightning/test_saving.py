"""Modules and data leave a process and come back: pickled, spawned, in a checkpoint."""

import copy
import io
import pickle

import pytest
import torch

from transformer import UserError, save_model
from transformer.run.comparison import equal


def test_module_and_data_are_pickled_saved_and_copied_after_a_fit(kind, trainer_with):
    """Without the optimizer: a copy is no larger than the weights and what stands beside them."""
    module, data = kind.make()
    trainer_with(max_steps=2).fit(module, data)
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    others = [pickle.loads(pickle.dumps(module)), copy.deepcopy(module)]
    others.append(torch.load(file, weights_only=False))
    weights = module.model.state_dict()
    for other in others:
        assert equal(other.model.state_dict(), weights)
    assert file.tell() < 2 * sum(4 * tensor.numel() for tensor in weights.values()) + 100_000
    copied_data = pickle.loads(pickle.dumps(data))
    trainer_with(max_steps=2).fit(others[0], copied_data)


@pytest.mark.slow(seconds=35)  # starts two processes that import torch
def test_processes_are_spawned_with_the_module(kind, trainer_with):
    """Lightning brings the weights back to this process, but not the count of steps."""
    module, data = kind.make()
    before = copy.deepcopy(module.model.state_dict())
    for _ in range(2):  # again, now that the module has been fitted
        trainer = trainer_with(max_steps=2, strategy="ddp_spawn", devices=2)
        trainer.fit(module, data)
        after = copy.deepcopy(module.model.state_dict())
        assert not any(torch.equal(before[k], after[k]) for k in before if "embedding" in k)
        before = after


def test_a_checkpoint_brings_back_module_data_and_settings(kind, trainer_with):
    module, data = kind.make(schedule="constant", weight_decay=0.2)
    trainer = trainer_with(max_steps=2)
    trainer.fit(module, data)
    trainer.save_checkpoint("mine.ckpt")
    again = type(module).load_from_checkpoint("mine.ckpt", lr=0.5)
    assert type(again) is type(module)
    assert dict(again.hparams) == dict(module.hparams) | {"lr": 0.5}
    assert again.model.architecture == module.model.architecture
    assert equal(again.model.state_dict(), module.model.state_dict())
    data_again = type(data).load_from_checkpoint("mine.ckpt")
    assert data_again.examples_consumed == data.examples_consumed
    assert dict(data_again.hparams) == dict(data.hparams)


def test_a_fit_goes_on_from_a_checkpoint_as_if_it_had_not_ended(kind, trainer_with):
    losses = []
    for stops in ([6], [2, 6]):
        module, data = kind.make(total_steps=6, warmup_steps=2)
        torch.manual_seed(1)
        weights = {k: torch.randn_like(v) / 9 for k, v in module.model.state_dict().items()}
        module.model.load_state_dict(weights)
        path = None
        for stop in stops:
            trainer = trainer_with(max_steps=stop)
            trainer.fit(module, data, ckpt_path=path)
            trainer.save_checkpoint(path := "mine.ckpt")
            module, data = kind.make(total_steps=6, warmup_steps=2)
        (found,) = trainer_with().validate(module, data, ckpt_path=path, verbose=False)
        losses.append(found["val_loss"])
    assert losses[0] == losses[1]


def test_weights_alone_bring_no_losses_of_a_fit_before(kind, trainer_with):
    module, data = kind.make()
    trainer = trainer_with(max_steps=2)
    trainer.fit(module, data)
    trainer.save_checkpoint("mine.ckpt")
    again = type(module).load_from_checkpoint("mine.ckpt")
    trainer.validate(again, data, ckpt_path="mine.ckpt", verbose=False)
    assert again._restored is None


def test_a_checkpoint_without_metadata_says_that_it_has_no_tokenizer(kind, trainer_with):
    module, data = kind.make()
    trainer = trainer_with(max_steps=1)
    trainer.fit(module, data)
    trainer.save_checkpoint("mine.ckpt")
    with pytest.raises(UserError, match=r"it has no tokenizer.*data\.tokenizer_state"):
        kind.load("mine.ckpt")
    module = type(module).load_from_checkpoint("mine.ckpt")  # as the message says
    metadata = module.metadata | {"tokenizer": data.tokenizer_state}
    save_model("model.safetensors", module.model, metadata)
    kind.load("model.safetensors")


def test_another_file_is_no_module(kind):
    module, _ = kind.make()
    torch.save({"state_dict": {}}, "other.ckpt")
    with pytest.raises(UserError, match="not a checkpoint of this program"):
        type(module).load_from_checkpoint("other.ckpt")
