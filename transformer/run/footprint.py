"""What a training step takes in memory and arithmetic, found out without numbers.

The step itself runs, on tensors that have shapes alone (torch's FakeTensorMode), so whatever the
model, the loss and the optimizer allocate is counted as it would be.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker
from torch.optim import Optimizer
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from transformer.models.parts.attention import CrossAttention, MultiHeadAttention, fused_attention
from transformer.models.parts.layers import ResidualPaths
from transformer.training.losses import ctc_loss
from transformer.training.pair_module import PairModule

# MemTracker's names of what is held at the peak -> ours.
_PARTS = {
    "Parameter": "weights",
    "Gradient": "gradients",
    "Optstate": "optimizer",
    "Activation": "activations",
}
# Attention on a CPU, which FlopCounterMode does not know: by the shapes of query, key and value.
_ON_CPU = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_ON_CPU_BACKWARD = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
_ATTENTION: dict[Any, Callable[..., int]] = {
    _ON_CPU: lambda q, k, v, *_, **__: sdpa_flop_count(q, k, v),
    _ON_CPU_BACKWARD: lambda grad, q, k, v, *_, **__: sdpa_backward_flop_count(grad, q, k, v),
}
_STATE = ("weights", "gradients", "optimizer")  # what fsdp parts among devices
_OTHERS = "temporary"


class Step(NamedTuple):
    """On a device that holds all of the model.

    `shapes` are those of a batch's tensors of ids. `bf16` is Lightning's bf16-mixed: autocast, with
    weights in float32. `on_cpu` says whose attention it is: a GPU's fused kernel keeps no weights.
    """

    make_module: Callable[[], pl.LightningModule]
    make_optimizer: Callable[[pl.LightningModule], Optimizer]
    shapes: Sequence[tuple[int, ...]]
    bf16: bool
    on_cpu: bool = True


@dataclass(frozen=True)
class Footprint:
    """Bytes by part where a step holds most; `block_bytes` are those of each block's weights."""

    bytes_by_part: dict[str, int]
    block_bytes: tuple[int, ...]

    @property
    def total_bytes(self) -> int:
        return sum(self.bytes_by_part.values())


def step_memory(step: Step) -> Footprint:
    """Of tensors alone: neither the program nor what its allocator keeps for later."""
    with FakeTensorMode():
        module, optimizer, batch = _made(step)
        memory = MemTracker()
        memory.track_external(module, optimizer, *batch)
        with memory:
            for parameter in module.parameters():
                parameter.grad = torch.zeros_like(parameter)
            optimizer.step()  # for nothing: an optimizer makes its moments in the first
            memory.reset_mod_stats()
            _take(step, module, optimizer, batch)
        blocks = [block for block in module.modules() if isinstance(block, ResidualPaths)]
        block_bytes = tuple(sum(p.nbytes for p in block.parameters()) for block in blocks)
    ((_, at_peak),) = memory.get_tracker_snapshot("peak").items()
    parts = dict.fromkeys((*_PARTS.values(), _OTHERS), 0)
    for kind, num_bytes in at_peak.items():
        if kind != "Total":
            parts[_PARTS.get(getattr(kind, "value", kind), _OTHERS)] += num_bytes
    return Footprint(parts, block_bytes)


def step_flops(step: Step) -> int:
    """Of the matrix products of all passes and of the optimizer.

    Counted apart from memory: the counter keeps what is computed again for longer than a step does.
    """
    with FakeTensorMode():
        made = _made(step)
        with FlopCounterMode(display=False, custom_mapping=_ATTENTION) as arithmetic:
            _take(step, *made)
    return arithmetic.get_total_flops()


def _made(step: Step) -> tuple[pl.LightningModule, Optimizer, list[Tensor]]:
    """Without tables of CTC, small beside the logits, whose sizes depend on numbers.

    A GPU's attention is without dropout too, for which a CPU alone leaves its fused kernel.
    """
    module = step.make_module()
    for part in module.modules():
        if isinstance(part, PairModule):
            part.ctc_loss = partial(ctc_loss, sum_alignments=lambda logs, *_, **__: logs.sum())
        elif isinstance(part, MultiHeadAttention | CrossAttention) and not step.on_cpu:
            part.attend = lambda q, k, v, mask, _, causal=False: fused_attention(
                q, k, v, mask, causal=causal
            )
    batch = [torch.ones(shape, dtype=torch.long) for shape in step.shapes]
    return module, step.make_optimizer(module), batch


def _take(
    step: Step, module: pl.LightningModule, optimizer: Optimizer, batch: list[Tensor]
) -> None:
    # No weight's copy is kept for a second use, as Lightning has it.
    with torch.autocast("cpu", torch.bfloat16, enabled=step.bf16, cache_enabled=False):
        loss = module.training_step(batch, 0)
    optimizer.zero_grad()  # as late as Lightning does it
    assert isinstance(loss, Tensor)
    loss.backward()
    nn.utils.clip_grad_norm_(module.parameters(), 1.0)
    optimizer.step()


def on_several(footprint: Footprint, strategy: str, num_devices: int) -> Footprint:
    """On each of several devices, of what a step takes on one.

    ddp: gradients stay in their buckets from step to step. fsdp: a share of weights, gradients and
    moments; all weights of two blocks, the one that computes and the one that comes next; and all
    weights and gradients that are in no block, which stay put together through both passes.
    """
    parts = dict(footprint.bytes_by_part)
    if strategy == "fsdp":
        in_no_block = parts["weights"] - sum(footprint.block_bytes)
        for name in _STATE:
            parts[name] = -(-parts[name] // num_devices)
        parts[_OTHERS] += sum(sorted(footprint.block_bytes)[-2:]) + 2 * in_no_block
    elif num_devices > 1:
        parts["gradients"] = max(parts["gradients"], parts["weights"])
    return replace(footprint, bytes_by_part=parts)
