"""Training on several devices: each holds all weights (ddp), or a part of them (fsdp)."""

import inspect
from typing import TYPE_CHECKING, Any, TypeGuard

from pytorch_lightning.strategies import DDPStrategy, Strategy
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor

# The argument's name in torch 2.13; older versions have the other one.
_SYNC_BUFFERS = "forward_sync_buffers"
if _SYNC_BUFFERS not in inspect.signature(DistributedDataParallel).parameters:
    _SYNC_BUFFERS = "broadcast_buffers"


def make_strategy(name: str, num_devices: int) -> Strategy | str:
    """Takes `auto`, `ddp` or `fsdp`; auto means ddp on several devices.

    ddp averages gradients during the backward pass, in buckets of 25 MB, each as soon as it is
    full. Gradients are views into the buckets, which saves a copy of all gradients. With
    accumulate_grad_batches, only the last batch of a step is synchronized. Buffers, such as tables
    of positions, are equal on all devices anyway and are not sent.
    """
    if name == "fsdp":
        from transformer.training.sharding import ShardedStrategy

        return ShardedStrategy(num_devices)
    if name == "ddp" or num_devices > 1:
        settings: dict[str, Any] = {"gradient_as_bucket_view": True, _SYNC_BUFFERS: False}
        return DDPStrategy(**settings)
    return "auto"


def whole(tensor: Tensor) -> Tensor:
    """Gathers a sharded tensor on every rank; returns any other tensor as it is."""
    return tensor.full_tensor() if is_sharded(tensor) else tensor


def local(tensor: Tensor) -> Tensor:
    """Returns this device's part of a sharded tensor; any other tensor as it is."""
    return tensor.to_local() if is_sharded(tensor) else tensor


def is_sharded(tensor: Tensor) -> "TypeGuard[DTensor]":
    """Without an import of what no other strategy needs; it takes a second."""
    return hasattr(tensor, "full_tensor")
