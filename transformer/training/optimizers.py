"""Parameter groups and the optimizers behind one name."""

from torch import nn
from torch.optim import AdamW, Optimizer

OPTIMIZERS = ("adamw",)


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """Matrices with weight decay, vectors (norms and biases) without."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    matrices = [p for p in parameters if p.ndim >= 2]
    vectors = [p for p in parameters if p.ndim < 2]
    groups = [(matrices, weight_decay), (vectors, 0.0)]
    return [{"params": params, "weight_decay": decay} for params, decay in groups if params]


def make_optimizer(
    name: str,
    model: nn.Module,
    *,
    lr: float,
    weight_decay: float,
    beta1: float,
    beta2: float,
    eps: float,
    fused: bool = True,
) -> Optimizer:
    """AdamW: Loshchilov and Hutter 2019 (arXiv:1711.05101), in one fused kernel a step.

    Raises: ValueError for another name, listing the known ones.
    """
    if name not in OPTIMIZERS:
        raise ValueError(f"optimizer must be one of {', '.join(OPTIMIZERS)}, got {name!r}")
    fused = fused and next(model.parameters()).device.type in ("cpu", "cuda")
    groups = parameter_groups(model, weight_decay)
    return AdamW(groups, lr=lr, betas=(beta1, beta2), eps=eps, fused=fused)
