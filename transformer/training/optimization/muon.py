from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.adamw import adamw

from transformer.training.optimization.polar import Polar, newton_schulz

# The root mean square of AdamW's updates: Liu et al. 2025 (arXiv:2502.16982), 2.2.
_ADAMW_RMS = 0.2


class Muon(Optimizer):
    """Muon updates the groups with `num_parts` above 0, which hold matrices; AdamW the others.

    Muon replaces a matrix's momentum by approximately the nearest orthogonal matrix and scales it
    by 0.2 sqrt(max(rows, columns)). The step is then as large as AdamW's, so both use one `lr`. A
    parameter with `num_parts` above 1 is that many matrices below each other; each is updated
    separately. They are of equal sizes unless the group has `part_sizes`, the rows of each. With
    `polar=newton_schulz` it computes the same as torch.optim.Muon with
    adjust_lr_fn="match_rms_adamw", but multiplies matrices of one shape in one batch.

    If the tensor `found_inf` is 1, a step changes nothing, as in torch's fused optimizers.
    """

    found_inf: Tensor | None = None

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        *,
        lr: float,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-8,
        fused: bool = True,
        bf16: bool = False,
        polar: Polar = newton_schulz,
    ) -> None:
        shared = {"lr": lr, "weight_decay": weight_decay, "num_parts": 0}
        of_adamw = {"betas": betas, "eps": eps, "fused": fused}
        super().__init__(groups, shared | {"momentum": momentum} | of_adamw)
        self.bf16 = bf16  # the format of Muon's products; otherwise that of the weights
        self.polar = polar

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        with torch.enable_grad():
            loss = closure() if closure else None
        self._step_muon([group for group in self.param_groups if group["num_parts"]])
        for group in self.param_groups:
            if not group["num_parts"]:
                self._step_adamw(group)
        return loss

    def _step_muon(self, groups: list[dict[str, Any]]) -> None:
        matrices = [[p for p in group["params"] if p.grad is not None] for group in groups]
        found = [(group, params) for group, params in zip(groups, matrices, strict=True) if params]
        counts = 1.0 if self.found_inf is None else 1 - self.found_inf  # 0: the step is skipped
        parts: list[Tensor] = []
        for group, params in found:
            for gradient in self._nesterov(params, group["momentum"], counts):
                parts += _split(gradient, group)
        updates = iter(orthogonalize(parts, self.polar, bf16=self.bf16))
        for group, params in found:
            kept = 1 - counts * (group["lr"] * group["weight_decay"])
            torch._foreach_mul_(params, kept)  # pyright: ignore[reportPrivateImportUsage]
            for part in (part for p in params for part in _split(p, group)):
                _subtract(part, next(updates), group["lr"] * _ADAMW_RMS * max(part.shape) ** 0.5)

    def _nesterov(
        self, params: list[Tensor], momentum: float, counts: Tensor | float
    ) -> list[Tensor]:
        """The gradients with Nesterov momentum; 0 if the step is skipped."""
        # Once for all, as on a GPU each of these numbers is a kernel.
        skipped = None if self.found_inf is None else self.found_inf > 0
        of_gradient, of_average = counts * (1 - momentum), counts * momentum
        gradients = []
        for p in params:
            assert p.grad is not None
            if "momentum" not in self.state[p]:
                self.state[p]["momentum"] = torch.zeros_like(p)
            if skipped is not None:
                p.grad.masked_fill_(skipped, 0)
            average = self.state[p]["momentum"].lerp_(p.grad, of_gradient)
            gradients.append(p.grad.lerp(average, of_average))
        return gradients

    def _step_adamw(self, group: dict[str, Any]) -> None:
        params = [p for p in group["params"] if p.grad is not None]
        for p in params:
            if not self.state[p]:
                self.state[p]["step"] = torch.zeros((), device=p.device)
                self.state[p]["exp_avg"] = torch.zeros_like(p)
                self.state[p]["exp_avg_sq"] = torch.zeros_like(p)
        beta1, beta2 = group["betas"]
        adamw(
            params,
            [p.grad for p in params],
            [self.state[p]["exp_avg"] for p in params],
            [self.state[p]["exp_avg_sq"] for p in params],
            [],
            [self.state[p]["step"] for p in params],
            fused=group["fused"],
            amsgrad=False,
            beta1=beta1,
            beta2=beta2,
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=False,
            found_inf=self.found_inf,
        )


def _split(matrix: Tensor, group: dict[str, Any]) -> tuple[Tensor, ...]:
    """The matrices that are fused in one; groups of older checkpoints have no `part_sizes`."""
    sizes = group.get("part_sizes")
    return matrix.split(sizes) if sizes else matrix.chunk(group["num_parts"])


def _subtract(matrix: Tensor, update: Tensor, size: float | Tensor) -> None:
    """matrix -= size * update; `size` is a tensor where the learning rate is one."""
    if isinstance(size, Tensor):
        matrix.addcmul_(update, size, value=-1)
    else:
        matrix.add_(update, alpha=-size)


def orthogonalize(
    matrices: list[Float[Tensor, "_ _"]], polar: Polar = newton_schulz, *, bf16: bool = False
) -> list[Float[Tensor, "_ _"]]:
    """U V^T of each matrix U S V^T, approximately: see `polar.py`.

    In the matrices' own format or in bfloat16. Matrices of one shape, or of the transposed shape,
    are stacked into one batch.
    """
    by_shape: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for i, matrix in enumerate(matrices):
        by_shape[tuple(sorted(matrix.shape))].append(i)
    results = list(matrices)
    for indices in by_shape.values():
        stacked = [matrices[i] for i in indices]
        wide = torch.stack([m if m.shape[0] <= m.shape[1] else m.T for m in stacked])
        if bf16:
            wide = wide.bfloat16()
        for i, result in zip(indices, polar(wide), strict=True):
            results[i] = result if result.shape == matrices[i].shape else result.T
    return results
