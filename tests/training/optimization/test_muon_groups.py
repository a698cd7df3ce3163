"""A step of Muon for many matrices: what is computed for each, and what once for all."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from transformer.training.optimization.muon import Muon, orthogonalize

SETTINGS = {"lr": 0.013, "weight_decay": 0.3}
NUM_STEPS = 5
SHAPES = [(7, 7), (5, 11), (11, 5), (7, 7), (30, 90)]


def make_parameters(shapes, generator):
    return [torch.nn.Parameter(torch.randn(s, generator=generator) * 0.1) for s in shapes]


def give_gradients(parameters, generator):
    for p in parameters:
        p.grad = torch.randn(p.shape, generator=generator)


@pytest.mark.parametrize("found_inf", [None, 0.0, 1.0])
@pytest.mark.parametrize("as_tensor", [False, True])
def test_the_matrices_of_a_group_move_together_as_they_would_alone(found_inf, as_tensor, generator):
    """Bit for bit, beside the formula for one matrix after the other."""
    lr = torch.tensor(SETTINGS["lr"]) if as_tensor else SETTINGS["lr"]
    ours = make_parameters(SHAPES, generator)
    theirs, averages = [p.detach().clone() for p in ours], [torch.zeros(shape) for shape in SHAPES]
    groups = [{"params": ours[:2], "weight_decay": 0.5}, {"params": ours[2:]}]
    optimizer = Muon([{"num_parts": 1, "lr": lr} | group for group in groups], **SETTINGS)
    optimizer.found_inf = None if found_inf is None else torch.tensor(found_inf)
    counts = 1.0 if found_inf is None else 1 - optimizer.found_inf
    for _ in range(NUM_STEPS):
        give_gradients(ours, generator)
        gradients = [p.grad * (found_inf != 1) for p in ours]
        optimizer.step()
        for average, gradient in zip(averages, gradients, strict=True):
            average.lerp_(gradient, counts * (1 - 0.95))
        both = zip(gradients, averages, strict=True)
        updates = orthogonalize([g.lerp(average, counts * 0.95) for g, average in both])
        for i, (q, update) in enumerate(zip(theirs, updates, strict=True)):
            size = lr * 0.2 * max(q.shape) ** 0.5
            q.mul_(1 - counts * (lr * (0.5 if i < 2 else SETTINGS["weight_decay"])))
            if as_tensor:
                q.addcmul_(update, size, value=-1)
            else:
                q.add_(update, alpha=-size)
        for p, q in zip(ours, theirs, strict=True):
            assert torch.equal(p, q)


def test_numbers_are_computed_for_a_group_and_not_for_each_of_its_matrices(generator):
    """On a GPU each is a kernel, where whether a step is skipped is known to the device alone."""

    class Numbers(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            result = func(*args, **kwargs or {})
            found.append(isinstance(result, torch.Tensor) and result.ndim == 0)
            return result

    counts = []
    for num_matrices in (2, 13):
        parameters = make_parameters([(5, 7)] * num_matrices, generator)
        optimizer = Muon([{"params": parameters, "num_parts": 1}], **SETTINGS)
        optimizer.found_inf = torch.tensor(0.0)
        give_gradients(parameters, generator)
        found = []
        with Numbers():
            optimizer.step()
        counts.append(sum(found))
    assert counts[0] == counts[1] > 0
