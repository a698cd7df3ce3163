"""fsdp: each device holds a part of the weights and of the optimizer's state."""

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.strategies import ModelParallelStrategy
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.optim import Optimizer

from transformer.models.parts.layers import ResidualPaths

# Saving collects the whole state on rank 0; loading sends it from rank 0 to the others.
_WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)
_FROM_RANK_0 = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)


class ShardedStrategy(ModelParallelStrategy):
    """Each device stores a part of every matrix and of its optimizer state: FSDP2 (`fully_shard`).

    The matrices of a block are gathered while the block computes, then freed. A checkpoint has the
    same format as without sharding: one file, with the optimizer state keyed by parameter number.
    """

    def __init__(self, num_devices: int) -> None:
        super().__init__(
            data_parallel_size=num_devices,
            tensor_parallel_size=1,
            save_distributed_checkpoint=False,
        )

    def shard(self, model: nn.Module) -> None:
        """Distributes rank 0's weights over all ranks; the others' own weights are ignored."""
        weights = model.state_dict() if self.global_rank == 0 else {}
        mesh = self.device_mesh["data_parallel"]
        for block in model.modules():
            if isinstance(block, ResidualPaths):
                fully_shard(block, mesh=mesh)
        fully_shard(model, mesh=mesh)
        set_model_state_dict(model, weights, options=_FROM_RANK_0)

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        optimizer = getattr(optimizer, "optimizer", optimizer)  # Lightning wraps it
        assert self.model is not None
        state = get_optimizer_state_dict(self.model, optimizer, options=_WHOLE)
        return numbered(state) if state else {}

    def load_checkpoint(
        self, checkpoint_path: Any, weights_only: bool | None = True
    ) -> dict[str, Any]:
        """Loads the weights and the optimizer state; Lightning restores the rest."""
        is_first = self.global_rank == 0
        checkpoint = torch.load(  # mmap: other ranks never read weights and optimizer state
            checkpoint_path, map_location="cpu", weights_only=True, mmap=not is_first
        )
        assert isinstance(self.model, pl.LightningModule)
        weights = checkpoint["state_dict"] if is_first else {}
        set_model_state_dict(self.model, weights, options=_FROM_RANK_0)
        for optimizer, state in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            named_state = named(state, self.model, optimizer) if is_first else {}
            set_optimizer_state_dict(self.model, optimizer, named_state, options=_FROM_RANK_0)
        return checkpoint


def sharded(kind: type[pl.LightningModule]) -> type[pl.LightningModule]:
    """A subclass whose `model` is sharded in configure_model if the strategy is sharded."""

    class Sharded(kind):
        def configure_model(self) -> None:
            strategy, model = self.trainer.strategy, self.model
            assert isinstance(model, nn.Module)
            if isinstance(strategy, ShardedStrategy) and not isinstance(model, FSDPModule):
                strategy.shard(model)

    return Sharded


def numbered(state: Mapping[str, Any]) -> dict[str, Any]:
    """Replaces parameter names in an optimizer's state by numbers, as torch.optim uses them."""
    names = [name for group in state["param_groups"] for name in group["params"]]
    numbers = {name: number for number, name in enumerate(names)}
    groups = [
        group | {"params": [numbers[name] for name in group["params"]]}
        for group in state["param_groups"]
    ]
    moments = {numbers[name]: values for name, values in state["state"].items()}
    return {"state": dict(sorted(moments.items())), "param_groups": groups}


def named(state: Mapping[str, Any], module: nn.Module, optimizer: Optimizer) -> dict[str, Any]:
    """The inverse of `numbered`; numbers count the parameters in the order of the groups."""
    names_of = {id(parameter): name for name, parameter in module.named_parameters()}
    groups, moments = [], {}
    for saved, group in zip(state["param_groups"], optimizer.param_groups, strict=True):
        names = [names_of[id(parameter)] for parameter in group["params"]]
        groups.append(saved | {"params": names})
        for number, name in zip(saved["params"], names, strict=True):
            if number in state["state"]:
                moments[name] = state["state"][number]
    return {"state": moments, "param_groups": groups}
