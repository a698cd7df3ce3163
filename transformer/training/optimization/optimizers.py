"""Builds parameter groups, and the optimizer of a given name."""

from inspect import unwrap
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from transformer.models.parts.attention import FusedLinear
from transformer.models.parts.layers import ResidualPaths
from transformer.training.optimization.muon import Muon
from transformer.training.optimization.polar import PLAIN, POLARS, Polar, zolotarev
from transformer.training.settings import OptimizerSettings
from transformer.training.strategies import local

OPTIMIZERS = ("adamw", "muon")


class EagerAdamW(AdamW):
    """AdamW with a step that does not import torch's compiler, which takes two seconds."""

    step = torch.no_grad()(unwrap(AdamW.step))


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Matrices with weight decay; vectors (norms and biases) without weight decay."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    matrices = [p for p in parameters if p.ndim >= 2]
    vectors = [p for p in parameters if p.ndim < 2]
    groups = [(matrices, weight_decay), (vectors, 0.0)]
    return [{"params": params, "weight_decay": decay} for params, decay in groups if params]


def muon_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """The matrices of the blocks for Muon, and all other parameters for AdamW, without decay.

    Muon's groups differ in `num_parts`, the number of matrices that are fused in one. Embeddings
    and the output head are matrices too, but each row is a symbol's own vector: they go to AdamW.
    """
    by_parts: dict[int | tuple[int, ...], list[Tensor]] = {}
    blocks = [module for module in model.modules() if isinstance(module, ResidualPaths)]
    for module in (part for block in blocks for part in block.modules()):
        if isinstance(module, nn.Linear) and module.weight.requires_grad:
            by_parts.setdefault(_parts_of(module), []).append(module.weight)
    matrices = {id(p) for params in by_parts.values() for p in params}
    groups: list[dict[str, Any]] = [
        {"params": params, "weight_decay": weight_decay}
        | ({"num_parts": parts} if isinstance(parts, int) else _unequal(parts))
        for parts, params in by_parts.items()
    ]
    rest = [p for p in model.parameters() if p.requires_grad and id(p) not in matrices]
    return [*groups, {"params": rest, "num_parts": 0, "weight_decay": 0.0}]


def _parts_of(module: nn.Linear) -> int | tuple[int, ...]:
    """The number of matrices of one size that are fused in one, or the rows of each."""
    if not isinstance(module, FusedLinear):
        return 1
    sizes = module.part_sizes
    return len(sizes) if len(set(sizes)) == 1 else sizes


def _unequal(sizes: tuple[int, ...]) -> dict[str, Any]:
    return {"num_parts": len(sizes), "part_sizes": list(sizes)}


def make_optimizer(
    model: nn.Module, settings: OptimizerSettings, *, fused: bool = True, bf16: bool = False
) -> Optimizer:
    """AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101), or Muon together with AdamW.

    `fused` computes a step of AdamW in one kernel, if the device can. `bf16` is the number format
    of Muon's products; otherwise float32.

    Raises: ValueError for an unknown name, and for `zolotarev` in bf16.
    """
    name = settings.optimizer
    if name not in OPTIMIZERS:
        raise ValueError(f"optimizer must be one of {', '.join(OPTIMIZERS)}, got {name!r}")
    device = next(model.parameters()).device.type
    fused = fused and device in ("cpu", "cuda")
    betas = (settings.beta1, settings.beta2)
    common: dict[str, Any] = {"lr": settings.lr, "betas": betas, "eps": settings.eps}
    if name == "muon":
        groups = muon_groups(model, settings.weight_decay)
        polar = polar_named(settings.polar, bf16=bf16)
        common |= {"momentum": settings.momentum, "fused": fused}
        return Muon(groups, bf16=bf16, polar=polar, **common)
    return EagerAdamW(parameter_groups(model, settings.weight_decay), fused=fused, **common)


def polar_named(name: str, *, bf16: bool) -> Polar:
    """`auto` is PLAIN: what is faster is chosen before (`transformer.training.choices`).

    Raises: ValueError for an unknown name, and for `zolotarev` in bf16.
    """
    polar = POLARS.get(PLAIN if name == "auto" else name)
    if polar is None:
        raise ValueError(f"polar must be one of {', '.join(POLARS)}, got {name!r}")
    if polar is zolotarev and bf16:
        raise ValueError(f"polar {name} does not go with bf16: give {PLAIN}")
    return polar


def check_state(optimizer: Optimizer) -> None:
    """Raises: ValueError if a moment is missing, unexpected, not finite or of a wrong shape."""
    for group in optimizer.param_groups:
        names = {"momentum"} if group.get("num_parts") else {"step", "exp_avg", "exp_avg_sq"}
        for parameter in group["params"]:
            state = optimizer.state.get(parameter) or {}
            if state and set(state) != names:
                raise ValueError(f"a moment {sorted(set(state) ^ names)[0]!r} is missing or extra")
            for name, value in state.items():
                shape = () if name == "step" else parameter.shape
                if not isinstance(value, Tensor) or value.shape != shape:
                    raise ValueError(f"the moment {name!r} does not have shape {tuple(shape)}")
                if not local(value).isfinite().all():
                    raise ValueError(f"the moment {name!r} holds numbers that are not finite")
