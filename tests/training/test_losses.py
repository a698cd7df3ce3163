"""What is minimized and what is reported: label smoothing, R-Drop, and the units of a loss."""

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


def test_r_drop_adds_both_directions_divergence_of_two_passes(make_gpt, batch):
    """By the definition of Kullback and Leibler, on logits that no model gave."""
    module = LanguageModule(make_gpt(vocab_size=V), lr=1e-3, r_drop=0.7)
    tokens, targets = batch
    logits = torch.randn(6, 5, V, generator=torch.Generator().manual_seed(3))
    seen = []
    module.model.forward = lambda inputs: seen.append(inputs) or logits
    loss = module.training_step(batch, 0)
    assert torch.equal(seen[0], torch.cat((tokens, tokens)))
    scored = targets != IGNORED
    first, second = (half[scored].softmax(dim=-1) for half in logits.chunk(2))
    one_way, other_way = (
        (p * (p / q).log()).sum(dim=-1).mean() for p, q in ((first, second), (second, first))
    )
    own = -torch.stack([half[scored].log_softmax(dim=-1) for half in logits.chunk(2)])
    entropy = own.gather(2, targets[scored].expand(2, -1)[..., None]).mean()
    assert_close(loss, entropy + 0.7 * (one_way + other_way) / 2)
    assert_close(module._train_losses[0], entropy)


def test_r_drop_of_a_model_without_dropout_changes_no_gradient(make_gpt, batch):
    gradients = []
    for r_drop in (0.0, 5.0):
        module = LanguageModule(make_gpt(vocab_size=V), lr=1e-3, r_drop=r_drop)
        module.training_step(batch, 0).backward()
        gradients.append([p.grad for p in module.parameters()])
    assert_close(*gradients)
