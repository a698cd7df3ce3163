"""The parts of a transformer, each with its forward and its backward pass.

For y = forward(x) and a loss L, `backward` takes dL/dy of the last call, writes dL/dW of each
parameter W into the layer's `gradients`, and returns dL/dx. Docstrings write dx for dL/dx.
"""

import numpy as np

from transformer.lessons.numpy_reference.functions import (
    Array,
    Floats,
    attention_gradients,
    attention_weights,
    normalize,
    xavier,
)


class Layer:
    """Holds `parameters` by name, and the gradient of each under the same name in `gradients`.

    To set a parameter, change its array in place: `array[...] = numbers`.
    """

    def __init__(self, **parameters: Floats) -> None:
        self.parameters = parameters
        self.gradients = {name: np.zeros_like(array) for name, array in parameters.items()}


class Composite(Layer):
    """A layer made of layers; it shares their arrays, named "<part>.<name>"."""

    def __init__(self, **parts: Layer) -> None:
        super().__init__()
        for part, layer in parts.items():
            for name, array in layer.parameters.items():
                self.parameters[f"{part}.{name}"] = array
                self.gradients[f"{part}.{name}"] = layer.gradients[name]


class Linear(Layer):
    """x W + b. W (in, out) is initialized as in Glorot and Bengio 2010."""

    def __init__(self, fan_in: int, fan_out: int, generator: np.random.Generator) -> None:
        super().__init__(weight=xavier(fan_in, fan_out, generator), bias=np.zeros(fan_out))

    def forward(self, x: Array) -> Floats:
        """Raises: ValueError if x is not (..., in)."""
        weight = self.parameters["weight"]
        if x.shape[-1] != len(weight):
            raise ValueError(f"x of shape {x.shape} does not fit a weight of shape {weight.shape}")
        self.x = x
        return x @ weight + self.parameters["bias"]

    def backward(self, gradient: Floats) -> Floats:
        """dW = x^T dy, db = sum of dy, dx = dy W^T."""
        rows = gradient.reshape(-1, gradient.shape[-1])
        self.gradients["weight"][...] = self.x.reshape(-1, self.x.shape[-1]).T @ rows
        self.gradients["bias"][...] = rows.sum(axis=0)
        return gradient @ self.parameters["weight"].T


class Embedding(Layer):
    """The weight's (V, C) row of each token, times sqrt(C): arXiv:1706.03762, 3.4.

    The weight is drawn with variance 1 / C, so that the output has variance 1.
    """

    def __init__(self, vocab_size: int, d_model: int, generator: np.random.Generator) -> None:
        self.scale = float(np.sqrt(d_model))
        super().__init__(weight=generator.normal(0, 1 / self.scale, (vocab_size, d_model)))

    def forward(self, tokens: Array) -> Floats:
        self.tokens = tokens
        return self.parameters["weight"][tokens] * self.scale

    def backward(self, gradient: Floats) -> None:
        """A row's gradient is the sum over the positions of its token; tokens have no gradient."""
        self.gradients["weight"][...] = 0
        np.add.at(self.gradients["weight"], self.tokens, gradient * self.scale)


class LayerNorm(Layer):
    """weight * (x - mean) / sqrt(variance + eps) + bias: Ba et al. 2016 (arXiv:1607.06450)."""

    def __init__(self, d_model: int) -> None:
        super().__init__(weight=np.ones(d_model), bias=np.zeros(d_model))

    def forward(self, x: Array) -> Floats:
        self.normalized, self.deviation = normalize(x)
        return self.parameters["weight"] * self.normalized + self.parameters["bias"]

    def backward(self, gradient: Floats) -> Floats:
        """dx = (dn - mean(dn) - n mean(n dn)) / deviation, where n is x normalized, dn = w dy.

        The first mean comes from the mean of x, the second from its deviation: both depend on x.
        """
        rest = tuple(range(gradient.ndim - 1))
        self.gradients["weight"][...] = (gradient * self.normalized).sum(axis=rest)
        self.gradients["bias"][...] = gradient.sum(axis=rest)
        gradient = gradient * self.parameters["weight"]
        along = (gradient * self.normalized).mean(axis=-1, keepdims=True)
        centered = gradient - gradient.mean(axis=-1, keepdims=True)
        return (centered - self.normalized * along) / self.deviation


class Dropout(Layer):
    """In training, sets numbers to zero with probability p and divides the others by 1 - p.

    Srivastava et al. 2014. `scale` holds the factors of the last `forward`.

    Raises: ValueError for a p below 0, or of 1 and more.
    """

    def __init__(self, p: float, generator: np.random.Generator) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"dropout must be at least 0 and below 1, got {p}")
        self.p = p
        self.generator = generator

    def forward(self, x: Array, training: bool = False) -> Floats:
        kept = self.generator.random(x.shape) >= self.p if training else np.ones(x.shape)
        self.scale = kept / (1 - self.p if training else 1)
        return x * self.scale

    def backward(self, gradient: Floats) -> Floats:
        return gradient * self.scale


class FeedForward(Composite):
    """max(0, x W1 + b1) W2 + b2: arXiv:1706.03762, eq. 2."""

    def __init__(
        self, d_model: int, d_ff: int, generator: np.random.Generator | None = None
    ) -> None:
        generator = generator or np.random.default_rng(0)
        self.input = Linear(d_model, d_ff, generator)
        self.output = Linear(d_ff, d_model, generator)
        super().__init__(input=self.input, output=self.output)

    def forward(self, x: Array) -> Floats:
        self.hidden = np.maximum(self.input.forward(x), 0)  # (B, T, F)
        return self.output.forward(self.hidden)

    def backward(self, gradient: Floats) -> Floats:
        """The gradient of ReLU is 1 where its output is positive, else 0."""
        return self.input.backward(self.output.backward(gradient) * (self.hidden > 0))


class MultiHeadAttention(Composite):
    """Attention in num_heads parallel heads of D = C / H numbers: arXiv:1706.03762, 3.2.2.

    `weights` (B, H, T, S) holds the attention weights of the last `forward`.

    Raises: ValueError if d_model is not divisible by num_heads.
    """

    def __init__(
        self, d_model: int, num_heads: int, generator: np.random.Generator | None = None
    ) -> None:
        if num_heads < 1 or d_model % num_heads:
            raise ValueError(
                "d_model must be divisible by num_heads, "
                f"got d_model={d_model} and num_heads={num_heads}"
            )
        self.num_heads = num_heads
        generator = generator or np.random.default_rng(0)
        self.query, self.key, self.value, self.output = (
            Linear(d_model, d_model, generator) for _ in range(4)
        )
        super().__init__(query=self.query, key=self.key, value=self.value, output=self.output)

    def forward(self, Q: Array, K: Array, V: Array, mask: Array | None = None) -> Floats:
        """Q (B, T, C), K and V (B, S, C) -> (B, T, C). `mask` is (T, S), (B, T, S) or (B, H, T, S).

        Raises: ValueError for shapes that do not fit, and for a mask that is not boolean.
        """
        if not Q.ndim == K.ndim == 3 or K.shape != V.shape or len(Q) != len(K):
            shapes = f"{Q.shape}, {K.shape} and {V.shape}"
            raise ValueError(f"Q must be (B, T, C), K and V (B, S, C), got {shapes}")
        if mask is not None and mask.ndim == 3:
            mask = mask[:, None]  # (B, 1, T, S)
        self.q = self._split(self.query.forward(Q))
        self.k = self._split(self.key.forward(K))
        self.v = self._split(self.value.forward(V))
        self.weights = attention_weights(self.q, self.k, mask)
        return self.output.forward(self._join(self.weights @ self.v))

    def backward(self, gradient: Floats) -> tuple[Floats, Floats, Floats]:
        """Returns dQ, dK and dV."""
        heads = self._split(self.output.backward(gradient))
        q, k, v = attention_gradients(heads, self.q, self.k, self.v, self.weights)
        return (
            self.query.backward(self._join(q)),
            self.key.backward(self._join(k)),
            self.value.backward(self._join(v)),
        )

    def _split(self, x: Floats) -> Floats:
        num_rows, length, _ = x.shape
        return x.reshape(num_rows, length, self.num_heads, -1).swapaxes(1, 2)  # (B, H, T, D)

    def _join(self, heads: Floats) -> Floats:
        num_rows, _, length, _ = heads.shape
        return heads.swapaxes(1, 2).reshape(num_rows, length, -1)  # (B, T, H D)
