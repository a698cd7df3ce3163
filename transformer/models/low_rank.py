"""LoRA: a frozen model, and two small matrices beside each matrix of its blocks, which are trained.

Hu et al. 2021 (arXiv:2106.09685). This is our own and not peft's: peft needs two more large
libraries, wraps the model in classes with other names of tensors, and cannot be a part of a
checkpoint that holds plain numbers alone.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from transformer.models.parts.attention import FusedLinear
from transformer.models.parts.dropout import Dropout
from transformer.models.parts.layers import ResidualPaths, skipped_initialization
from transformer.models.parts.rounding import rounded_to_int8

ALPHA_PER_RANK = 2.0  # without a lora_alpha


@dataclass(frozen=True, kw_only=True)
class AdapterSettings:
    """`base_precision` is the number format of the frozen matrices that have adapters."""

    lora_rank: int
    lora_alpha: float | None = None
    lora_dropout: float = 0.0
    base_precision: str = "float32"

    @property
    def scale(self) -> float:
        return ALPHA_PER_RANK if self.lora_alpha is None else self.lora_alpha / self.lora_rank


class _RoundedProduct(torch.autograd.Function):
    """x W^T. Keeps the rounded W for the backward pass, and not W in the number format of x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rounded: Tensor, scales: Tensor) -> Tensor:
        ctx.save_for_backward(rounded, scales)
        return F.linear(x, _unrounded(rounded, scales, x.dtype))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        rounded, scales = ctx.saved_tensors
        (gradient,) = gradients
        return gradient @ _unrounded(rounded, scales, gradient.dtype), None, None


def _unrounded(rounded: Tensor, scales: Tensor, dtype: torch.dtype) -> Tensor:
    return rounded.to(dtype) * scales.to(dtype)


class RoundedLinear(nn.Module):
    """A frozen linear layer whose matrix is kept in a smaller number format.

    It computes in the format of its input, or of autocast, with the rounded numbers.
    """

    scales: Tensor  # one for each row, or one for all

    def __init__(self, linear: nn.Linear, rounded: Tensor, scales: Tensor) -> None:
        super().__init__()
        self.rounded = nn.Parameter(rounded, requires_grad=False)
        self.register_buffer("scales", scales.float())
        self.bias = linear.bias

    @property
    def weight(self) -> Float[Tensor, "N K"]:
        return _unrounded(self.rounded, self.scales, self.scales.dtype)

    def forward(self, x: Float[Tensor, "*B K"]) -> Float[Tensor, "*B N"]:
        if torch.is_autocast_enabled(x.device.type):
            x = x.to(torch.get_autocast_dtype(x.device.type))
        product: Any = _RoundedProduct.apply(x, self.rounded, self.scales)
        return product if self.bias is None else product + self.bias.to(product.dtype)


def _in_bf16(linear: nn.Linear) -> RoundedLinear:
    weight = linear.weight.detach()
    return RoundedLinear(linear, weight.bfloat16(), weight.new_ones(1, 1))


def _in_int8(linear: nn.Linear) -> RoundedLinear:
    rounded, scales = rounded_to_int8(linear.weight.detach())
    return RoundedLinear(linear, rounded, scales[:, None])


_BASES = {"float32": lambda linear: linear, "bf16": _in_bf16, "int8": _in_int8}


class LowRankLinear(nn.Module):
    """W x + b + alpha / rank B A x, with a frozen matrix W and bias b: section 4.1.

    `down` is A, which begins at random, and `up` is B, which begins at 0: so the first outputs are
    those of the base. A matrix that is several fused in one has one A for all of them.
    """

    def __init__(self, linear: nn.Linear, settings: AdapterSettings) -> None:
        super().__init__()
        sizes = linear.part_sizes if isinstance(linear, FusedLinear) else (linear.out_features,)
        self.base = _BASES[settings.base_precision](linear)
        self.base.requires_grad_(False)
        weight, rank = linear.weight, settings.lora_rank
        place: Any = {"device": weight.device, "dtype": weight.dtype}
        self.down = nn.Linear(linear.in_features, rank, bias=False, **place)
        self.up = FusedLinear(rank, sizes, bias=False)
        self.up.weight = nn.Parameter(weight.new_zeros(linear.out_features, rank))
        self.dropout = Dropout(settings.lora_dropout)
        self.scale = settings.scale

    def forward(self, x: Float[Tensor, "*B K"]) -> Float[Tensor, "*B N"]:
        return self.base(x) + self.up(self.scale * self.down(self.dropout(x)))

    @torch.no_grad()
    def merged_weight(self) -> Float[Tensor, "N K"]:
        """The one matrix that computes the same."""
        return torch.addmm(self.base.weight, self.up.weight, self.down.weight, alpha=self.scale)

    def merged(self) -> nn.Linear:
        bias = self.base.bias
        with skipped_initialization():
            linear = FusedLinear(self.down.in_features, self.up.part_sizes, bias=bias is not None)
        linear.weight = nn.Parameter(self.merged_weight())
        linear.bias = bias
        return linear


def adapt(model: nn.Module, settings: AdapterSettings, trained: Collection[str] = ()) -> None:
    """Freezes the model, and gives each matrix of its blocks an adapter.

    Parameters with a name in `trained` are trained too.
    """
    model.requires_grad_(False)
    for name in trained:
        model.get_parameter(name).requires_grad_(True)
    blocks = [module for module in model.modules() if isinstance(module, ResidualPaths)]
    for parent in [part for block in blocks for part in block.modules()]:
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear):
                setattr(parent, name, LowRankLinear(child, settings))


def merge(model: nn.Module) -> None:
    """Replaces each adapter and its base by one matrix."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, LowRankLinear):
                setattr(parent, name, child.merged())
    model.requires_grad_(True)


def trained_tensors(model: nn.Module) -> dict[str, Tensor]:
    """What an adapter consists of, by the names of its tensors."""
    return {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}


class MergedWeights(Mapping[str, Tensor]):
    """The tensors of the merged model, each once; a matrix is merged when it is asked for."""

    def __init__(self, model: nn.Module) -> None:
        adapters = {n: m for n, m in model.named_modules() if isinstance(m, LowRankLinear)}
        inside = tuple(f"{name}." for name in adapters)
        plain: dict[int, tuple[str, Tensor]] = {}
        for name, tensor in model.state_dict().items():
            if not name.startswith(inside):
                plain.setdefault(tensor.data_ptr(), (name, tensor))
        self._makers: dict[str, Callable[[], Tensor]] = {
            name: partial(_same, tensor) for name, tensor in plain.values()
        }
        for name, adapter in adapters.items():
            self._makers[f"{name}.weight"] = adapter.merged_weight
            if adapter.base.bias is not None:
                self._makers[f"{name}.bias"] = partial(_same, adapter.base.bias)

    def __getitem__(self, name: str) -> Tensor:
        return self._makers[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


def _same(tensor: Tensor) -> Tensor:
    return tensor
