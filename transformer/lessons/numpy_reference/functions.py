"""The formulas as functions of arrays; the results are float64 for every input type.

`transformer/models/parts/attention.py` explains the letters of the shapes; C is d_model, F is d_ff.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Floats = NDArray[np.float64]

NORM_EPS = 1e-5  # torch's and GPT-2's
_BASE = 10000.0  # arXiv:1706.03762, 3.5; arXiv:2104.09864, 3.2.2


def softmax(x: Array, axis: int = -1) -> Floats:
    """exp(x) / sum of exp(x) along an axis; subtracting the maximum first prevents overflow."""
    powers = np.exp(x - x.max(axis=axis, keepdims=True), dtype=np.float64)
    return powers / powers.sum(axis=axis, keepdims=True)


def attention_weights(Q: Array, K: Array, mask: Array | None = None) -> Floats:
    """softmax(Q K^T / sqrt(D)), shape (..., T, S): how much query t reads from key s.

    Vaswani et al. 2017 (arXiv:1706.03762), eq. 1, without the product with V. Q is (..., T, D), K
    is (..., S, D). Each row sums to 1. `mask` is True where position t may read position s, and is
    broadcast to (..., T, S). A row of the mask without any True gives a row of zeros.

    Raises: ValueError for shapes that do not fit, and for a mask that is not boolean.
    """
    if Q.shape[-1] != K.shape[-1]:
        raise ValueError(f"Q and K must have the same last axis, got {Q.shape} and {K.shape}")
    scores = np.matmul(Q, K.swapaxes(-2, -1), dtype=np.float64) / np.sqrt(Q.shape[-1])
    if mask is None:
        return softmax(scores)
    _check_mask(mask, scores.shape)
    # The lowest finite number instead of -inf: the softmax of a row of -inf is NaN.
    weights = softmax(np.where(mask, scores, np.finfo(np.float64).min))
    return np.where(mask, weights, 0.0)


def scaled_dot_product_attention(Q: Array, K: Array, V: Array, mask: Array | None = None) -> Floats:
    """softmax(Q K^T / sqrt(D)) V, shape (..., T, D): arXiv:1706.03762, eq. 1. V is (..., S, D).

    Raises: ValueError for shapes that do not fit, and for a mask that is not boolean.
    """
    if K.shape[-2] != V.shape[-2]:
        raise ValueError(f"K and V must have the same length, got {K.shape} and {V.shape}")
    return attention_weights(Q, K, mask) @ V


def attention_gradients(
    gradient: Floats, Q: Floats, K: Floats, V: Floats, weights: Floats
) -> tuple[Floats, Floats, Floats]:
    """dQ, dK and dV from dO (`gradient`), where O is the output of the attention.

    dX stands for the gradient of the loss with respect to X. With Z = Q K^T / sqrt(D),
    A = softmax(Z) and O = A V, the chain rule gives dV = A^T dO and dA = dO V^T. The gradient of
    the softmax gives dZ. Then dQ = dZ K / sqrt(D) and dK = dZ^T Q / sqrt(D).
    """
    scores = _softmax_gradient(gradient @ V.swapaxes(-2, -1), weights) / np.sqrt(Q.shape[-1])
    return scores @ K, scores.swapaxes(-2, -1) @ Q, weights.swapaxes(-2, -1) @ gradient


def _softmax_gradient(gradient: Floats, weights: Floats) -> Floats:
    """dZ = A * (dA - sum of A * dA along the row), because dA_i/dZ_j = A_i ([i = j] - A_j).

    Where a mask is False the weight A is 0, and so is the gradient.
    """
    return weights * (gradient - (weights * gradient).sum(axis=-1, keepdims=True))


def _check_mask(mask: Array, shape: tuple[int, ...]) -> None:
    if mask.dtype != np.bool_:
        raise ValueError(f"a mask must be bool, True = may be read, got {mask.dtype}")
    sizes = zip(reversed(mask.shape), reversed(shape), strict=False)
    if mask.ndim > len(shape) or any(ours not in (1, size) for ours, size in sizes):
        raise ValueError(f"a mask of shape {mask.shape} does not fit scores of shape {shape}")


def check_ids(name: str, ids: Array, vocab_size: int) -> None:
    """Raises: ValueError unless the ids are whole numbers from 0 to vocab_size - 1."""
    if not np.issubdtype(ids.dtype, np.integer):
        raise ValueError(f"{name} must be whole numbers, got {ids.dtype}")
    outside = ids[(ids < 0) | (ids >= vocab_size)]
    if outside.size:
        raise ValueError(f"{name} must be from 0 to {vocab_size - 1}, got {outside[0]}")


def check_tokens(tokens: Array, vocab_size: int) -> None:
    """Raises: ValueError unless the tokens are ids (B, T) from 0 to vocab_size - 1."""
    if tokens.ndim != 2:
        raise ValueError(f"tokens must be (B, T), got shape {tokens.shape}")
    check_ids("tokens", tokens, vocab_size)


def normalize(x: Array, eps: float = NORM_EPS) -> tuple[Floats, Floats]:
    """(x - mean) / deviation along the last axis, and the deviation, sqrt(variance + eps)."""
    x = x.astype(np.float64)
    deviation = np.sqrt(x.var(axis=-1, keepdims=True) + eps)
    return (x - x.mean(axis=-1, keepdims=True)) / deviation, deviation


def layer_norm(
    x: Array, weight: Floats, bias: Floats | float = 0.0, eps: float = NORM_EPS
) -> Floats:
    """weight * (x - mean) / sqrt(variance + eps) + bias: Ba et al. 2016 (arXiv:1607.06450)."""
    return weight * normalize(x, eps)[0] + bias


def positional_encoding(length: int, d_model: int) -> Floats:
    """PE(t, 2i) = sin(t / 10000^(2i/C)), PE(t, 2i+1) = cos(same): arXiv:1706.03762, 3.5."""
    angles = position_angles(length, d_model)
    return np.stack((np.sin(angles), np.cos(angles)), axis=-1).reshape(length, -1)[:, :d_model]


def position_angles(length: int, dim: int) -> Floats:
    """t / 10000^(2i/dim) for each position t and pair i, shape (T, dim / 2 rounded up)."""
    return np.arange(length)[:, None] * _BASE ** -(np.arange(0, dim, 2) / dim)


def xavier(fan_in: int, fan_out: int, generator: np.random.Generator) -> Floats:
    """A matrix (in, out), uniform in +-sqrt(6 / (in + out)): Glorot and Bengio 2010, eq. 16."""
    limit = np.sqrt(6 / (fan_in + fan_out))
    return generator.uniform(-limit, limit, (fan_in, fan_out))


def cross_entropy(logits: Array, targets: Array) -> tuple[float, Floats]:
    """The mean of -ln softmax(logits)[target] in nats, and its gradient for the logits.

    Logits are (..., V), targets (...). The gradient is (softmax - one-hot) / number of targets.

    Raises: ValueError for shapes that do not fit, and for targets that are not ids below V.
    """
    if logits.shape[:-1] != targets.shape:
        raise ValueError(f"logits {logits.shape} do not fit targets {targets.shape}")
    check_ids("targets", targets, logits.shape[-1])
    powers = logits - logits.max(axis=-1, keepdims=True).astype(np.float64)
    log_softmax = powers - np.log(np.exp(powers).sum(axis=-1, keepdims=True))
    one_hot = targets[..., None] == np.arange(logits.shape[-1])  # (..., V)
    return float(-log_softmax[one_hot].mean()), (np.exp(log_softmax) - one_hot) / targets.size
