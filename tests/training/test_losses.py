"""The losses: label smoothing, R-Drop, CTC, and their units."""

import math
from functools import partial
from itertools import groupby, product

import pytest
import torch
from torch.testing import assert_close

from transformer.special_ids import END, IGNORED, NUM_SPECIALS, PADDING
from transformer.training.lightning_module import LanguageModule
from transformer.training.losses import ctc_loss, loss_units
from transformer.training.pair_module import PairModule

pytestmark = [pytest.mark.parity, pytest.mark.usefixtures("float64")]
same = partial(assert_close, rtol=0, atol=1e-10)  # the same mathematics in float64
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
    same(loss, (1 - SMOOTHING) * own + SMOOTHING * uniform)


def test_validation_is_against_the_targets_alone(make_gpt, batch):
    module = LanguageModule(make_gpt(vocab_size=V), lr=1e-3, label_smoothing=SMOOTHING)
    own, _ = losses_by_hand(module.model, batch)
    module.validation_step(batch, 0)
    ((total, num_scored),) = module._val_sums
    assert num_scored == 13
    same(total / num_scored, own)


def test_bits_per_unit_spread_the_loss_of_all_tokens_over_the_units():
    """Seven tokens of 2 bits each, which stand for 14 characters of 28 bytes."""
    units = loss_units(torch.tensor(2 * math.log(2)), "val", {"char": 7 / 14, "byte": 7 / 28})
    assert units["val_loss"] == pytest.approx(2 * math.log(2))
    assert units["val_bits_per_char"] == pytest.approx(1.0)
    assert units["val_bits_per_byte"] == pytest.approx(0.5)
    assert list(loss_units(torch.tensor(1.0), "test", {})) == ["test_loss"]  # of pairs


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
    same(loss, entropy + 0.7 * (one_way + other_way) / 2)
    same(module.train_losses[0], entropy)


def test_r_drop_of_a_model_without_dropout_changes_no_gradient(make_gpt, batch):
    gradients = []
    for r_drop in (0.0, 5.0):
        module = LanguageModule(make_gpt(vocab_size=V), lr=1e-3, r_drop=r_drop)
        module.training_step(batch, 0).backward()
        gradients.append([p.grad for p in module.parameters()])
    same(*gradients)


A, B = NUM_SPECIALS, NUM_SPECIALS + 1  # two units of a target


def read_off(path):
    """What an alignment says: repetitions are one, and blanks nothing."""
    return [unit for unit, _ in groupby(path) if unit != PADDING]


def test_ctc_is_minus_the_log_of_all_alignments_probability(generator):
    """Every path over the places is tried; the padded places of the shorter source are none."""
    logits = torch.randn(2, 4, 5, generator=generator)
    source = torch.tensor([[3, 3], [4, PADDING]])
    targets = torch.tensor([[A, A, END], [B, END, IGNORED]])
    by_hand = []
    for row, (places, target) in enumerate([(4, [A, A]), (2, [B])]):
        probabilities = logits[row, :places].softmax(dim=-1)
        paths = [path for path in product(range(5), repeat=places) if read_off(path) == target]
        total = sum(probabilities[range(places), list(path)].prod() for path in paths)
        by_hand.append(-total.log() / len(target))
    same(ctc_loss(logits, source, targets), torch.stack(by_hand).mean())


def test_a_target_too_long_for_its_places_has_no_ctc(generator):
    logits = torch.randn(1, 2, 5, generator=generator, requires_grad=True)
    loss = ctc_loss(logits, torch.tensor([[3]]), torch.tensor([[A, A, END]]))
    loss.backward()
    assert loss == 0
    assert not logits.grad.any()


@pytest.fixture
def pair_batch(generator):
    source = torch.randint(NUM_SPECIALS, 17, (3, 6), generator=generator)
    source[0, 4:] = PADDING
    tokens = torch.randint(NUM_SPECIALS, 13, (3, 5), generator=generator)
    targets = tokens.roll(-1, dims=1)
    targets[:, -1] = END
    targets[1, 2:] = torch.tensor([END, IGNORED, IGNORED])
    return source, tokens, targets


def test_ctc_adds_the_memorys_guess_to_the_loss(make_encoder_decoder, pair_batch):
    model = make_encoder_decoder(ctc_weight=0.3, tie_weights=False)
    source, tokens, targets = pair_batch
    module = PairModule(model, lr=1e-3)
    logits, guess = model(source, tokens, guess=True)
    assert torch.equal(logits, model(source, tokens))
    assert guess.shape == (3, 12, 13)
    loss = module.training_step(pair_batch, 0)
    own = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
    same(loss, own + 0.3 * ctc_loss(guess, source, targets))
    same(module.train_losses[0], own)
    loss.backward()
    assert model.ctc_head.weight.grad.any()


def test_the_guess_does_not_look_at_what_pads_a_source(make_encoder_decoder, pair_batch):
    model = make_encoder_decoder(ctc_weight=0.3)
    source, tokens, _ = pair_batch
    _, guess = model(source[:1], tokens[:1], guess=True)
    _, alone = model(source[:1, :4], tokens[:1], guess=True)
    same(guess[:, :8], alone)
