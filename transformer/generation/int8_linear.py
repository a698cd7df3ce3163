"""A linear layer whose weights are int8 while a model writes."""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from transformer.models.parts.rounding import rounded_to_int8

WIDE_FORMATS = {"float32": torch.float32, "bf16": torch.bfloat16}
INT8_STRIDE = 16  # inputs that the kernel reads at a time; for other sizes it reads out of bounds
_int8_product = torch.ops.aten._weight_int8pack_mm.default


class Products(NamedTuple):
    """How int8 layers multiply: in int8 up to `most_int8_rows` rows of inputs, else in `other`."""

    most_int8_rows: int
    other: str


class Int8Linear(nn.Module):
    """A linear layer with int8 weights, a scale for each row, and bf16 inputs and outputs.

    For more rows of inputs than `products` allows in int8, it multiplies the same rounded weights
    in bf16 or float32.

    Raises: ValueError if the number of inputs is not a multiple of INT8_STRIDE.
    """

    quantized: Tensor
    scales: Tensor

    def __init__(self, linear: nn.Linear, products: Products) -> None:
        super().__init__()
        if linear.in_features % INT8_STRIDE:
            raise ValueError(f"in_features={linear.in_features} is not a multiple of {INT8_STRIDE}")
        self.most_int8_rows = products.most_int8_rows
        weight = linear.weight.detach()
        quantized, scales = rounded_to_int8(weight)
        self.register_buffer("quantized", quantized)
        self.register_buffer("scales", scales)
        dequantized = (quantized * scales.float()[:, None]).to(WIDE_FORMATS[products.other])
        self.weight = nn.Parameter(dequantized, requires_grad=False)
        self.bias = None
        if linear.bias is not None:
            self.bias = nn.Parameter(linear.bias.detach().bfloat16(), requires_grad=False)

    def forward(self, x: Float[Tensor, "*B K"]) -> Float[Tensor, "*B N"]:
        rows = x.numel() // x.shape[-1]
        if rows > self.most_int8_rows:
            dtype = self.weight.dtype
            bias = None if self.bias is None else self.bias.to(dtype)
            return F.linear(x.to(dtype), self.weight, bias).to(x.dtype)
        product = _int8_product(x.reshape(rows, -1), self.quantized, self.scales)
        product = product.unflatten(0, x.shape[:-1])
        return product if self.bias is None else product + self.bias

    def make_step(self) -> Callable[[Float[Tensor, "B K"]], Float[Tensor, "B N"]]:
        """A function that computes the same with fewer calls: see `models/gpt_step.py`."""
        quantized, scales, bias = self.quantized, self.scales, self.bias
        most_rows = self.most_int8_rows

        def step(x: Tensor) -> Tensor:
            if x.shape[0] > most_rows:
                return self(x)
            product = _int8_product(x, quantized, scales)
            return product if bias is None else product.add_(bias)

        return step
