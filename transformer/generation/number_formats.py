"""Number formats for the weights of a trained model when it generates text.

The weights are trained in float32. bf16 halves the bytes read for each token, int8 halves them
again.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from transformer.models.base import SequenceModel
from transformer.system.devices import has_bf16, resolve_accelerator
from transformer.system.errors import UserError

FORMATS = ("float32", "bf16", "int8")
# Measured at widths 128, 192, 256 and 384 with 1, 4, 16 and 64 rows, on two cores of an AMD EPYC
# with torch 2.13. Below LEAST_WIDTH, calls take longer than arithmetic. Above MOST_INT8_ROWS, bf16
# is faster.
LEAST_WIDTH = 192
MOST_INT8_ROWS = 8
INT8_STRIDE = 16  # inputs that the kernel reads at a time; for other sizes it reads out of bounds
_MOST = 127  # the largest int8; -128 is not used


class Int8Linear(nn.Module):
    """A linear layer with int8 weights, a scale for each row, and bf16 inputs and outputs.

    For more than MOST_INT8_ROWS rows of inputs, it multiplies the same rounded weights in bf16,
    which is then faster. The scale of a row of weights is max |weight| / 127, so the rounding error
    of a weight is at most half a scale.

    Raises: ValueError if the number of inputs is not a multiple of INT8_STRIDE.
    """

    quantized: Tensor
    scales: Tensor

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        if linear.in_features % INT8_STRIDE:
            raise ValueError(f"in_features={linear.in_features} is not a multiple of {INT8_STRIDE}")
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
    """int8 on a CPU and bf16 on a GPU with fast bfloat16; float32 for others and narrow models."""
    kind = torch.device(device).type
    if not has_bf16(kind) or embedding_dim < LEAST_WIDTH:
        return "float32"
    return "int8" if kind == "cpu" else "bf16"


def prepare(model: SequenceModel, device: str, precision: str) -> None:
    """Moves a model to a device and changes the format of its weights; auto: the fastest choice.

    Raises: UserError for a device that is not available, and for int8 on a device other than a CPU.
    """
    device = resolve_accelerator(device)
    if precision == "int8" and device != "cpu":
        raise UserError(
            f"precision int8 needs a CPU, but the device is {device}: give `precision=bf16`"
        )
    if precision == "auto":
        precision = fastest_format(device, model.architecture.get("embedding_dim", 0))
    model.to(device)
    if precision != "float32":
        convert(model, precision)


def convert(model: SequenceModel, number_format: str) -> None:
    """Changes the format of the weights in place; the model can no longer be trained.

    With int8, a layer that the kernel cannot compute becomes bf16.

    Raises: ValueError for an unknown format, and for int8 if the model is not on a CPU.
    """
    if number_format not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}, got {number_format!r}")
    model.requires_grad_(False)
    if number_format == "int8":
        if next(model.parameters()).device.type != "cpu":
            raise ValueError("int8 weights need a CPU: give bf16 or float32")
        for module in list(model.modules()):
            for name, child in module.named_children():
                if isinstance(child, nn.Linear) and child.in_features % INT8_STRIDE == 0:
                    setattr(module, name, Int8Linear(child))
    model.to(torch.float32 if number_format == "float32" else torch.bfloat16)
