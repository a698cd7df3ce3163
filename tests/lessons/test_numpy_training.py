"""The hand-written backward pass and Adam, compared with torch's autograd and optimizer."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from transformer.lessons.numpy_reference import Adam, Linear, Transformer, cross_entropy, softmax

pytestmark = pytest.mark.parity
B, H, T, D, FEEDFORWARD, V, NUM_LAYERS = 2, 3, 5, 11, 17, 13, 2
C = H * D


@pytest.fixture
def numbers():
    return np.random.default_rng(0)


def make_transformer(numbers, dropout=0.0):
    """With every number drawn: biases and gains at 0 and 1 could be left out."""
    model = Transformer(NUM_LAYERS, C, H, FEEDFORWARD, V, dropout, numbers)
    for name, array in model.parameters.items():
        array[...] = numbers.normal(1.0 if name.endswith("norm.weight") else 0.0, 0.3, array.shape)
    return model


def torch_vectors(parameters, tokens, mask, scales):
    """The same encoder from torch's functions; `scales` is what each dropout multiplied by."""
    scale = iter(scales)
    table = torch.tensor(
        [
            [(math.cos if i % 2 else math.sin)(t / 10000 ** (i // 2 * 2 / C)) for i in range(C)]
            for t in range(tokens.shape[1])
        ],
        dtype=torch.float64,
    )

    def linear(x, name):
        return F.linear(x, parameters[f"{name}.weight"].T, parameters[f"{name}.bias"])

    def norm(x, name):
        return F.layer_norm(x, (C,), parameters[f"{name}.weight"], parameters[f"{name}.bias"])

    x = F.embedding(tokens, parameters["embedding.weight"]) * math.sqrt(C) + table
    x = x * next(scale)
    for number in range(NUM_LAYERS):
        layer = f"layers.{number}"
        q, k, v = (
            linear(x, f"{layer}.attention.{part}").unflatten(-1, (H, D)).transpose(1, 2)
            for part in ("query", "key", "value")
        )
        heads = F.scaled_dot_product_attention(q, k, v, mask).transpose(1, 2).flatten(2)
        attended = linear(heads, f"{layer}.attention.output")
        x = norm(x + attended * next(scale), f"{layer}.attention_norm")
        fed = linear(linear(x, f"{layer}.feedforward.input").relu(), f"{layer}.feedforward.output")
        x = norm(x + fed * next(scale), f"{layer}.feedforward_norm")
    return x


def dropout_scales(model):
    """What each dropout of the last forward pass multiplied by, in order."""
    dropouts = [model.dropout]
    for layer in model.layers:
        dropouts += [layer.attention_dropout, layer.feedforward_dropout]
    return [torch.from_numpy(dropout.scale) for dropout in dropouts]


def with_silent_row():
    """(B, T, T): a causal mask whose position 2 reads nothing; one that hides position 3."""
    mask = np.stack((np.tri(T, dtype=bool), np.ones((T, T), dtype=bool)))
    mask[0, 2] = False
    mask[1, :, 3] = False
    return mask


@pytest.mark.parametrize(
    "mask", [None, np.tri(T, dtype=bool), with_silent_row()], ids=["none", "causal", "padding"]
)
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_the_gradient_of_every_parameter_is_autograds(mask, dropout, numbers):
    """A second pass, so that what the first left would show."""
    model = make_transformer(numbers, dropout)
    tokens = numbers.integers(V, size=(B, T))
    model.forward(tokens[:, ::-1], mask, training=True)
    model.backward(np.ones((B, T, C)))
    vectors = model.forward(tokens, mask, training=True)
    gradient = numbers.normal(size=vectors.shape)
    model.backward(gradient)

    parameters = {
        name: torch.tensor(array, requires_grad=True) for name, array in model.parameters.items()
    }
    theirs = None if mask is None else torch.from_numpy(mask).expand(B, T, T)[:, None]
    scales = dropout_scales(model)
    assert all(bool((scale == 0).any()) == (dropout > 0) for scale in scales)
    expected = torch_vectors(parameters, torch.from_numpy(tokens), theirs, scales)
    np.testing.assert_allclose(vectors, expected.detach().numpy(), rtol=0, atol=1e-10)
    expected.backward(torch.from_numpy(gradient))
    for name, parameter in parameters.items():
        assert parameter.grad is not None
        np.testing.assert_allclose(
            *(model.gradients[name], parameter.grad.numpy()),
            rtol=0,
            atol=1e-8,  # sums of many terms in float64
            err_msg=name,
        )


def test_dropout_acts_in_training_alone(numbers):
    model = make_transformer(numbers, dropout=0.4)
    tokens = numbers.integers(V, size=(B, T))
    assert (model.forward(tokens) == model.forward(tokens)).all()
    assert (model.forward(tokens, training=True) != model.forward(tokens, training=True)).any()


def test_adam_takes_the_steps_of_torchs(numbers):
    layer = Linear(5, 7, numbers)
    settings = {"lr": 0.03, "betas": (0.8, 0.95), "eps": 1e-6}
    theirs = {name: torch.tensor(array) for name, array in layer.parameters.items()}
    ours, optimizer = Adam(layer, **settings), torch.optim.Adam([*theirs.values()], **settings)
    for _ in range(11):
        for name, gradient in layer.gradients.items():
            gradient[...] = numbers.normal(size=gradient.shape)
            theirs[name].grad = torch.tensor(gradient)
        ours.step()
        optimizer.step()
        for name, parameter in theirs.items():
            expected = parameter.numpy()
            np.testing.assert_allclose(layer.parameters[name], expected, rtol=0, atol=1e-12)


def test_it_learns_to_reverse_short_sequences(numbers):
    """Every sequence of 4 among 3 symbols, half of them seen in training."""
    every = np.stack(np.meshgrid(*[np.arange(3)] * 4), axis=-1).reshape(-1, 4)
    seen = numbers.permutation(every)[: len(every) // 2]
    model = Transformer(1, 16, 2, 32, 3, generator=numbers)
    head = Linear(16, 3, numbers)
    optimizer = Adam(model, head, lr=0.01)
    for _ in range(200):
        _, gradient = cross_entropy(head.forward(model.forward(seen)), seen[:, ::-1])
        model.backward(head.backward(gradient))
        optimizer.step()
    logits = head.forward(model.forward(every))
    assert cross_entropy(logits, every[:, ::-1])[0] < 0.02
    assert (softmax(logits).argmax(axis=-1) == every[:, ::-1]).all()
