"""What is minimized and what is reported: label smoothing, and the units of a loss."""

import pytest
import torch
from torch.testing import assert_close

from transformer.defaults import IGNORED
from transformer.training.lightning_module import LanguageModule, PairModule

V, SMOOTHING = 13, 0.2


@pytest.fixture
def batch(generator):
    tokens = torch.randint(V, (3, 5), generator=generator)
    targets = torch.randint(V, (3, 5), generator=generator)
    targets[1, 3:] = IGNORED
    return tokens, targets


def losses_by_hand(model, batch):
    """Of each target that is not ignored: its loss, and the mean loss over all symbols."""
    tokens, targets = batch
    logs = model(tokens).log_softmax(dim=-1)[targets != IGNORED]
    own = logs.gather(1, targets[targets != IGNORED][:, None]).squeeze(1)
    return -own.mean(), -logs.mean()


def test_label_smoothing_gives_every_symbol_its_share_of_each_target(make_gpt, batch):
    """(1 - e) times the target's loss and e / V times that of each symbol: arXiv:1512.00567, 7."""
    module = LanguageModule(make_gpt(vocab_size=V), lr=1e-3, label_smoothing=SMOOTHING)
    own, uniform = losses_by_hand(module.model, batch)
    loss = module.training_step(batch, 0)
    assert_close(loss, (1 - SMOOTHING) * own + SMOOTHING * uniform)


def test_validation_is_against_the_targets_alone(make_gpt, batch):
    module = LanguageModule(make_gpt(vocab_size=V), lr=1e-3, label_smoothing=SMOOTHING)
    own, _ = losses_by_hand(module.model, batch)
    module.validation_step(batch, 0)
    ((total, num_scored),) = module._val_sums
    assert num_scored == 13
    assert_close(total / num_scored, own)


def test_a_loss_has_bits_per_character_where_tokens_are_characters(make_gpt, make_encoder_decoder):
    loss = torch.tensor(1.0)
    assert set(LanguageModule(make_gpt(), lr=1e-3).loss_units(loss)) == {
        "val_loss",
        "val_bits_per_char",
    }
    assert set(PairModule(make_encoder_decoder(), lr=1e-3).loss_units(loss)) == {"val_loss"}
