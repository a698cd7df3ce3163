"""The forward pass of a trained GPT of this project, loaded from its `model.safetensors`.

The file also holds the model's arguments, under the project's own names.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from transformer.lessons.numpy_reference.functions import (
    NORM_EPS,
    Array,
    Floats,
    check_tokens,
    layer_norm,
    positional_encoding,
    scaled_dot_product_attention,
)
from transformer.lessons.numpy_reference.safetensors_file import read_safetensors

ROTARY_BASE = 10000.0  # arXiv:2104.09864, 3.2.2
_MULTIPLIER = -7046029254386353131  # 2^64 / golden ratio as int64: Fibonacci hashing (Knuth)


def gelu(x: Floats) -> Floats:
    """x times P(a standard normal number is below x): arXiv:1606.08415."""
    return x * (1 + np.vectorize(math.erf, otypes=[np.float64])(x / np.sqrt(2))) / 2


def gelu_tanh(x: Floats) -> Floats:
    """GPT-2's approximation of gelu: arXiv:1606.08415, section 2."""
    return x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))) / 2


def relu(x: Floats) -> Floats:
    return np.maximum(x, 0)


def relu_squared(x: Floats) -> Floats:
    """So et al. 2021 (arXiv:2109.08668)."""
    return relu(x) ** 2


def silu(x: Floats) -> Floats:
    """x sigmoid(x), arXiv:1606.08415; computed with tanh, which cannot overflow."""
    return x * (1 + np.tanh(x / 2)) / 2


def rms_norm(x: Floats, weight: Floats, eps: float = NORM_EPS) -> Floats:
    """weight * x / sqrt(mean of x^2 + eps): Zhang and Sennrich 2019 (arXiv:1910.07467)."""
    return weight * x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + eps)


def rotary_frequencies(
    head_dim: int, base: float = ROTARY_BASE, scaling: Sequence[float] | None = None
) -> Floats:
    """base^(-2i/D) for each pair i: arXiv:2104.09864, 3.2.2.

    `scaling` is that of Llama 3.1 (arXiv:2407.21783): a factor, two numbers of turns and a length.
    What turns less than `low` times in the length turns `factor` times slower.
    """
    frequencies = base ** -(np.arange(0, head_dim, 2) / head_dim)
    if scaling is None:
        return frequencies
    factor, low, high, length = scaling
    turns = length * frequencies / (2 * np.pi)
    kept = np.clip((turns - low) / (high - low), 0, 1)
    return kept * frequencies + (1 - kept) * frequencies / factor


def rotate(x: Floats, frequencies: Floats | None = None) -> Floats:
    """Rotates the numbers i and i + D/2 of each head at position t by t times frequency i.

    Su et al. 2021 (arXiv:2104.09864), eq. 34. x is (B, H, T, D).
    """
    if frequencies is None:
        frequencies = rotary_frequencies(x.shape[-1])
    angles = np.arange(x.shape[-2])[:, None] * frequencies  # (T, D / 2)
    first, second = np.split(x, 2, axis=-1)
    cos, sin = np.cos(angles), np.sin(angles)
    return np.concatenate((first * cos - second * sin, second * cos + first * sin), axis=-1)


def shift(x: Array, back: int) -> Array:
    """Moves x (B, T, ...) `back` positions later; the first positions become zeros."""
    nothing = np.zeros((len(x), back, *x.shape[2:]), x.dtype)
    return np.concatenate((nothing, x), axis=1)[:, : x.shape[1]]


ACTIVATIONS: dict[str, Callable[[Floats], Floats]] = {
    "gelu": gelu,
    "gelu_tanh": gelu_tanh,
    "relu": relu,
    "relu2": relu_squared,
}
_KNOWN = {
    "positions": ("learned", "sinusoidal", "rotary", "none"),
    "norm": ("layernorm", "rmsnorm"),
    "activation": (*ACTIVATIONS, "swiglu"),
}


@dataclass(frozen=True)
class Architecture:
    """The arguments of the project's GPT, as its file names them.

    Raises: ValueError for an unknown name of a part, listing the known ones.
    """

    model: str
    vocab_size: int
    block_size: int
    embedding_dim: int
    num_heads: int
    num_blocks: int
    positions: str
    norm: str
    norm_first: bool
    qk_norm: bool
    activation: str
    feedforward_dim: int
    dropout: float
    bias: bool
    tie_weights: bool
    ngram_size: int
    ngram_buckets: int
    token_shift: bool
    position_gain: bool = False  # older files do not name this and the following
    rotary_base: float = ROTARY_BASE
    rotary_scaling: Sequence[float] | None = None
    num_kv_heads: int | None = None  # as many as num_heads
    head_dim: int | None = None  # embedding_dim / num_heads
    norm_eps: float = NORM_EPS
    head_bias: bool = False
    ngram_vocab_size: int | None = None

    def __post_init__(self) -> None:
        for name, known in _KNOWN.items():
            if (value := getattr(self, name)) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}")


class GPT:
    """The decoder-only transformer, without dropout, which acts only in training."""

    def __init__(self, architecture: Architecture, tensors: Mapping[str, Floats]) -> None:
        self.architecture = architecture
        self.tensors = tensors

    def forward(self, tokens: Array) -> Floats:
        """Tokens (B, T) -> logits (B, T, V) for the next token at each position.

        Raises: ValueError for tokens outside the vocabulary, and for more than block_size tokens.
        """
        shape = self.architecture
        check_tokens(tokens, shape.vocab_size)
        if tokens.shape[1] > shape.block_size:
            raise ValueError(f"{tokens.shape[1]} tokens, but block_size={shape.block_size}")
        x = self._add_positions(self._embed(tokens))
        for number in range(shape.num_blocks):
            x = self._block(x, f"blocks.{number}")
        if shape.norm_first:
            x = self._norm(x, "final_norm")
        head = "token_embedding" if shape.tie_weights else "lm_head"
        logits = x @ self.tensors[f"{head}.weight"].T
        return logits + self.tensors["lm_head.bias"] if shape.head_bias else logits

    def _embed(self, tokens: Array) -> Floats:
        """The sum of the vectors of the token and of each n-gram that ends with it.

        If a table has fewer rows than there are n-grams, a hash (int64, wrapping around) chooses
        the row. Cf. Huang et al. 2025 (arXiv:2501.16975). A vocabulary that has grown numbers them
        as before. `token_shift` adds a learned share of the previous position's vector: cf. Peng et
        al. 2023 (arXiv:2305.13048), 3.1.1.
        """
        shape = self.architecture
        x = self.tensors["token_embedding.weight"][tokens]
        ngrams, base = tokens.astype(np.int64), shape.ngram_vocab_size or shape.vocab_size
        for back in range(1, shape.ngram_size):
            table = self.tensors[f"token_embedding.ngram_tables.{back - 1}"]
            ngrams = ngrams + shift(tokens.astype(np.int64), back) * base**back
            hashed = base ** (back + 1) > len(table)
            x = x + table[(ngrams * _MULTIPLIER >> 32 if hashed else ngrams) % len(table)]
        return x + self.tensors["token_shift.weight"] * shift(x, 1) if shape.token_shift else x

    def _add_positions(self, x: Floats) -> Floats:
        _, length, width = x.shape
        if self.architecture.positions == "learned":
            return x + self.tensors["position_embedding.weight"][:length]
        if self.architecture.positions == "sinusoidal":
            gain = self.tensors["position_embedding.gain"] if self.architecture.position_gain else 1
            return x + gain * positional_encoding(length, width)
        return x  # rotary positions are applied to queries and keys

    def _block(self, x: Floats, name: str) -> Floats:
        """x + f(norm(x)) with norm_first, else norm(x + f(x)) as in arXiv:1706.03762, 3.1."""
        for part, function in (("attention", self._attention), ("feedforward", self._feedforward)):
            if self.architecture.norm_first:
                x = x + function(self._norm(x, f"{name}.{part}_norm"), f"{name}.{part}")
            else:
                x = self._norm(x + function(x, f"{name}.{part}"), f"{name}.{part}_norm")
        return x

    def _attention(self, x: Floats, name: str) -> Floats:
        """Causal self-attention in num_heads heads.

        Neighboring heads share a head of keys and values: Ainslie et al. 2023 (arXiv:2305.13245).
        """
        shape, (num_rows, length, width) = self.architecture, x.shape
        num_kv_heads = shape.num_kv_heads or shape.num_heads
        num_all = shape.num_heads + 2 * num_kv_heads
        head_dim = shape.head_dim or width // shape.num_heads
        qkv = self._linear(x, f"{name}.qkv").reshape(num_rows, length, num_all, head_dim)
        bounds = [shape.num_heads, shape.num_heads + num_kv_heads]
        q, k, v = np.split(qkv.swapaxes(1, 2), bounds, axis=1)  # (B, H or G, T, D)
        if shape.qk_norm:  # Henry et al. 2020 (arXiv:2010.04245)
            q = rms_norm(q, self.tensors[f"{name}.query_norm.weight"], shape.norm_eps)
            k = rms_norm(k, self.tensors[f"{name}.key_norm.weight"], shape.norm_eps)
        if shape.positions == "rotary":
            frequencies = rotary_frequencies(head_dim, shape.rotary_base, shape.rotary_scaling)
            q, k = rotate(q, frequencies), rotate(k, frequencies)
        k, v = (np.repeat(x, shape.num_heads // num_kv_heads, axis=1) for x in (k, v))
        heads = scaled_dot_product_attention(q, k, v, np.tri(length, dtype=np.bool_))
        joined = heads.swapaxes(1, 2).reshape(num_rows, length, shape.num_heads * head_dim)
        return self._linear(joined, f"{name}.output")

    def _feedforward(self, x: Floats, name: str) -> Floats:
        """W2 f(W1 x), or W2 (silu(Wg x) * W1 x): arXiv:1706.03762, 3.3; arXiv:2002.05202."""
        hidden = self._linear(x, f"{name}.input")  # (B, T, F); for swiglu (B, T, 2 F)
        if self.architecture.activation == "swiglu":
            gate, value = np.split(hidden, 2, axis=-1)
            hidden = silu(gate) * value
        else:
            hidden = ACTIVATIONS[self.architecture.activation](hidden)
        return self._linear(hidden, f"{name}.output")

    def _linear(self, x: Floats, name: str) -> Floats:
        y = x @ self.tensors[f"{name}.weight"].T
        return y + self.tensors[f"{name}.bias"] if self.architecture.bias else y

    def _norm(self, x: Floats, name: str) -> Floats:
        weight = self.tensors[f"{name}.weight"]
        if self.architecture.norm == "rmsnorm":
            return rms_norm(x, weight, self.architecture.norm_eps)
        bias = self.tensors[f"{name}.bias"] if self.architecture.bias else 0.0
        return layer_norm(x, weight, bias, self.architecture.norm_eps)


def load_gpt(path: str | Path) -> GPT:
    """Loads the GPT from a `model.safetensors`.

    Raises: ValueError for a file that is truncated or does not hold a GPT of this project;
    TypeError for arguments that `Architecture` does not have.
    """
    tensors, metadata = read_safetensors(path)
    architecture = json.loads(metadata.get("architecture", "{}"))
    if architecture.get("model") != "gpt":
        raise ValueError(f"{path}: model must be gpt, got {architecture.get('model')!r}")
    return GPT(Architecture(**architecture), tensors)
