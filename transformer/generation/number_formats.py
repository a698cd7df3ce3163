"""The number formats in which a trained model can write.

float32 is what it was trained to; bf16 halves what is read for each token; int8 halves it again.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from transformer.models.base import SequenceModel
from transformer.system.devices import has_bf16, resolve_accelerator
from transformer.system.errors import UserError

FORMATS = ("float32", "bf16", "int8")
# Tried at widths 128, 192, 256 and 384 for 1, 4, 16 and 64 rows on two cores of an AMD EPYC with
# torch 2.13: below the width a token is more calls than numbers; above the rows, bf16 is faster.
LEAST_WIDTH = 192
MOST_INT8_ROWS = 8
INT8_STRIDE = 16  # the kernel reads so many inputs at a time, and past the end of other numbers
_MOST = 127  # of int8, the same on both sides of zero


class Int8Linear(nn.Module):
    """A linear layer with int8 weights, a scale for each row, and bf16 inputs and outputs.

    For more than a few rows at a time the same weights are multiplied in bf16, which is faster
    then. The scale of a row is its largest weight / 127, a weight is off by half a scale at most.

    Raises: ValueError for a number of inputs that INT8_STRIDE does not divide.
    """

    quantized: Tensor
    scales: Tensor

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        if linear.in_features % INT8_STRIDE:
            raise ValueError(f"in_features={linear.in_features} is no multiple of {INT8_STRIDE}")
        weight = linear.weight.detach()
        scales = (weight.abs().amax(dim=1) / _MOST).clamp(min=1e-12).bfloat16()
        quantized = (weight / scales.float()[:, None]).round().clamp(-_MOST, _MOST)
        self.register_buffer("quantized", quantized.to(torch.int8))
        self.register_buffer("scales", scales)
        dequantized = (quantized * scales.float()[:, None]).bfloat16()
        self.weight = nn.Parameter(dequantized, requires_grad=False)
        self.bias = linear.bias

    def forward(self, x: Float[Tensor, "*B K"]) -> Float[Tensor, "*B N"]:
        rows = x.numel() // x.shape[-1]
        if rows > MOST_INT8_ROWS:
            return F.linear(x, self.weight, self.bias)
        multiply = torch.ops.aten._weight_int8pack_mm
        product = multiply(x.reshape(rows, -1), self.quantized, self.scales)
        product = product.unflatten(0, x.shape[:-1])
        return product if self.bias is None else product + self.bias


def fastest_format(device: torch.device | str, embedding_dim: int) -> str:
    """int8 on a CPU and bf16 on a GPU that multiply bfloat16, for models that are wide enough."""
    kind = torch.device(device).type
    if not has_bf16(kind) or embedding_dim < LEAST_WIDTH:
        return "float32"
    return "int8" if kind == "cpu" else "bf16"


def prepare(model: SequenceModel, device: str, precision: str) -> None:
    """Puts a model on a device, its weights in a format; auto is what is there and fastest.

    Raises: UserError for a device that is not there, and for int8 elsewhere than on a CPU.
    """
    device = resolve_accelerator(device)
    if precision == "int8" and device != "cpu":
        raise UserError(f"precision int8 is for a CPU, and the device is {device}: give bf16")
    if precision == "auto":
        precision = fastest_format(device, model.architecture.get("embedding_dim", 0))
    model.to(device)
    if precision != "float32":
        convert(model, precision)


def convert(model: SequenceModel, number_format: str) -> None:
    """Changes the model's weights in place; it can no longer be trained.

    A layer whose inputs do not fit the int8 kernel becomes bf16.

    Raises: ValueError for an unknown format, and for int8 elsewhere than on a CPU.
    """
    if number_format not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}, got {number_format!r}")
    model.requires_grad_(False)
    if number_format == "int8":
        if next(model.parameters()).device.type != "cpu":
            raise ValueError("int8 weights are for a CPU: give bf16 or float32")
        for module in list(model.modules()):
            for name, child in module.named_children():
                if isinstance(child, nn.Linear) and child.in_features % INT8_STRIDE == 0:
                    setattr(module, name, Int8Linear(child))
    model.to(torch.float32 if number_format == "float32" else torch.bfloat16)
