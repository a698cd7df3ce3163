"""Dropout: its share, its mean and its seeds; compiled: tests/training/test_compilation.py."""

import pytest
import torch

from transformer.models.parts.dropout import Dropout


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9, 0.001, 0.999])
def test_dropout_zeroes_its_share_and_keeps_the_mean(p):
    torch.manual_seed(3)
    x = torch.ones(997, 1009, requires_grad=True)
    dropped = Dropout(p)(x)
    kept = dropped != 0
    share = 1 - kept.float().mean().item()
    assert share == pytest.approx(p, abs=0.003)  # p to the nearest 256th, at most half of one off
    assert dropped[kept].unique().item() == pytest.approx(1 / (1 - share), rel=0.05)
    dropped.sum().backward()
    assert torch.equal(x.grad, dropped.detach())
    # Neighbors are drawn eight at a time, and are as independent as others.
    if 0.1 <= p <= 0.9:
        pairs = (kept[:, 1:] & kept[:, :-1]).float().mean().item()
        assert pairs == pytest.approx((1 - share) ** 2, abs=0.003)


def test_dropout_is_the_same_for_the_same_seed_and_none_in_eval_mode():
    x = torch.ones(13, 11)
    drawn = []
    for _ in range(2):
        torch.manual_seed(5)
        drawn.append(Dropout(0.5)(x))
    assert torch.equal(*drawn)
    assert torch.equal(Dropout(0.5).eval()(x), x)
