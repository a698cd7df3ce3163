"""Memory and FLOPs of one training step, computed with torch's FakeTensorMode.

The real step runs on tensors that have shapes but no numbers. So everything that the model, the
loss and the optimizer would allocate is counted.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.optim import Optimizer
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count
from torch.utils.hooks import RemovableHandle

from transformer.models.parts.attention import CrossAttention, MultiHeadAttention, fused_attention
from transformer.models.parts.layers import ResidualPaths
from transformer.system.lean_imports import memory_tracker
from transformer.training.losses import ctc_loss
from transformer.training.pair_module import PairModule

# The tracker's names for the parts of memory -> ours.
_PARTS = {
    "Parameter": "weights",
    "Gradient": "gradients",
    "Optstate": "optimizer",
    "Activation": "activations",
}
# FlopCounterMode does not know attention on a CPU: its FLOPs, from the shapes of q, k and v.
_ON_CPU = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_ON_CPU_BACKWARD = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
_ATTENTION: dict[Any, Callable[..., int]] = {
    _ON_CPU: lambda q, k, v, *_, **__: sdpa_flop_count(q, k, v),
    _ON_CPU_BACKWARD: lambda grad, q, k, v, *_, **__: sdpa_backward_flop_count(grad, q, k, v),
}
_STATE = ("weights", "gradients", "optimizer")  # fsdp divides these among the devices
_OTHERS = "temporary"
_NO_HOOK = RemovableHandle(OrderedDict())


class Step(NamedTuple):
    """A training step on one device that holds the whole model.

    `shapes` are the shapes of the id tensors in a batch. `bf16` is Lightning's bf16-mixed, which is
    autocast with weights in float32. `on_cpu=False` counts the fused attention of a GPU, which
    stores no attention weights.
    """

    make_module: Callable[[], pl.LightningModule]
    make_optimizer: Callable[[pl.LightningModule], Optimizer]
    shapes: Sequence[tuple[int, ...]]
    bf16: bool
    on_cpu: bool = True


@dataclass(frozen=True)
class Footprint:
    """Bytes by part at the peak of a step; `block_bytes` are the bytes of each block's weights.

    `trained_bytes` are those of the weights that are not frozen.
    """

    bytes_by_part: dict[str, int]
    block_bytes: tuple[int, ...]
    trained_bytes: int

    @property
    def total_bytes(self) -> int:
        return sum(self.bytes_by_part.values())


def step_memory(step: Step) -> Footprint:
    """Counts tensors alone, not the program and not the reserve of its memory allocator."""
    with memory_tracker() as tracker, FakeTensorMode():
        module, optimizer, batch = _made(step)
        memory = tracker()
        memory.track_external(module, optimizer, *batch)
        with memory:
            trained = [p for p in module.parameters() if p.requires_grad]
            for parameter in trained:
                parameter.grad = torch.zeros_like(parameter)
            for frozen in {*module.parameters()} - {*trained}:  # the tracker would hook these, too
                memory._param_to_grad_hook_handles[frozen] = (_NO_HOOK, _NO_HOOK)
            optimizer.step()  # with gradients of 0: the first step makes the moments
            memory.reset_mod_stats()
            _take(step, module, optimizer, batch)
        blocks = [block for block in module.modules() if isinstance(block, ResidualPaths)]
        block_bytes = tuple(sum(p.nbytes for p in block.parameters()) for block in blocks)
        trained_bytes = sum(p.nbytes for p in trained)
    ((_, at_peak),) = memory.get_tracker_snapshot("peak").items()
    parts = dict.fromkeys((*_PARTS.values(), _OTHERS), 0)
    for kind, num_bytes in at_peak.items():
        if kind != "Total":
            parts[_PARTS.get(getattr(kind, "value", kind), _OTHERS)] += num_bytes
    return Footprint(parts, block_bytes, trained_bytes)


def step_flops(step: Step) -> int:
    """FLOPs of the matrix products in all passes and in the optimizer.

    They are not counted together with memory: the counter keeps recomputed tensors too long.
    """
    with FakeTensorMode():
        made = _made(step)
        with FlopCounterMode(display=False, custom_mapping=_ATTENTION) as arithmetic:
            _take(step, *made)
    return arithmetic.get_total_flops()


def _made(step: Step) -> tuple[pl.LightningModule, Optimizer, list[Tensor]]:
    """The module, its optimizer and a batch, with two parts of the module replaced.

    CTC's tables are left out: their sizes depend on numbers, and are small beside the logits. A
    GPU's attention has no dropout here: with dropout, the CPU of this process, unlike a GPU, would
    not use its fused kernel.
    """
    module = step.make_module()
    for part in module.modules():
        if isinstance(part, PairModule):
            part.ctc_loss = partial(ctc_loss, sum_alignments=lambda logs, *_, **__: logs.sum())
        elif not isinstance(part, MultiHeadAttention | CrossAttention) or step.on_cpu:
            continue
        elif part.attend is fused_attention:
            part.attend = lambda q, k, v, mask, _, causal=False: fused_attention(
                q, k, v, mask, causal=causal
            )
    batch = [torch.ones(shape, dtype=torch.long) for shape in step.shapes]
    return module, step.make_optimizer(module), batch


def _take(
    step: Step, module: pl.LightningModule, optimizer: Optimizer, batch: list[Tensor]
) -> None:
    # Like Lightning, autocast keeps no converted weights for a second use.
    with torch.autocast("cpu", torch.bfloat16, enabled=step.bf16, cache_enabled=False):
        loss = module.training_step(batch, 0)
    optimizer.zero_grad()  # as late as Lightning does it
    assert isinstance(loss, Tensor)
    loss.backward()
    nn.utils.clip_grad_norm_(module.parameters(), 1.0)
    optimizer.step()


def on_several(footprint: Footprint, strategy: str, num_devices: int) -> Footprint:
    """The footprint on each of several devices, from the footprint on one.

    ddp: gradients stay in their buckets from step to step. fsdp: each device holds a share of the
    weights, gradients and moments. It also holds all weights of two blocks (the one that computes
    and the next one), and all weights and gradients outside the blocks, through both passes.
    """
    parts = dict(footprint.bytes_by_part)
    if strategy == "fsdp":
        in_no_block = parts["weights"] - sum(footprint.block_bytes)
        for name in _STATE:
            parts[name] = -(-parts[name] // num_devices)
        parts[_OTHERS] += sum(sorted(footprint.block_bytes)[-2:]) + 2 * in_no_block
    elif num_devices > 1:
        parts["gradients"] = max(parts["gradients"], footprint.trained_bytes)
    return replace(footprint, bytes_by_part=parts)
