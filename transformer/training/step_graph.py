"""A training step as one CUDA graph: all its kernels are recorded once, then started together.

The step of a small model is several hundred short kernels, and starting each from Python takes
longer than its work.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from transformer.system.errors import in_one_line, is_out_of_memory
from transformer.training.lightning_module import LanguageModule

# In the first steps, kernels are loaded and libraries choose among theirs; the host waits for both.
WARMUP_STEPS = 3

log = logging.getLogger(__name__)


class CapturedSteps(LanguageModule):
    """Its `training_step` makes the whole step: it clips, and updates the weights too.

    After the first WARMUP_STEPS, it replays the recorded step, on a copy of the batch and of the
    learning rate at fixed places in memory. A batch of another shape takes an ordinary step, and so
    does every batch if a step cannot be recorded, because an operation in it waits for the GPU.
    What Lightning does afterwards finds no gradients, and changes nothing. On a CPU nothing is
    recorded.

    Needs one device, batches that each make a step, and no loss scaling.
    """

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._can_record = True
        self._steps_before = 0
        self._batch: list[Tensor] = []  # what the graph reads
        self._loss = self._recorded_norm = torch.zeros(())  # what it writes
        self._rates: list[Tensor] = []

    def on_train_start(self) -> None:
        super().on_train_start()
        self._graph, self._steps_before = None, 0
        self._rates = [torch.zeros((), device=self.device) for _ in self._groups]

    def training_step(self, batch: Sequence[Tensor], batch_idx: int) -> Tensor:
        for rate, group in zip(self._rates, self._groups, strict=True):
            rate.fill_(group["lr"])
        ready = self._can_record and self._steps_before >= WARMUP_STEPS and batch[0].is_cuda
        if self._graph is None and ready:
            self._capture(batch)
        if self._graph is None or [p.shape for p in batch] != [p.shape for p in self._batch]:
            self._steps_before += 1
            return self._whole_step(batch, batch_idx)
        for place, part in zip(self._batch, batch, strict=True):
            place.copy_(part)
        self._graph.replay()
        self._grad_norm = self._recorded_norm
        self.train_losses.append(self._loss.clone())
        return self._loss

    def backward(self, loss: Tensor, *arguments: Any, **settings: Any) -> None:
        """Done in `training_step`."""

    def configure_gradient_clipping(self, *arguments: Any, **settings: Any) -> None:
        """Done in `training_step`."""

    @property
    def _groups(self) -> list[dict[str, Any]]:
        return self.trainer.optimizers[0].param_groups

    def _capture(self, batch: Sequence[Tensor]) -> None:
        self._batch = [part.clone() for part in batch]
        graph, num_losses = torch.cuda.CUDAGraph(), len(self.train_losses)
        try:
            # Other threads may use the GPU meanwhile: the one that pins batches does.
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self._loss = self._whole_step(self._batch, 0)
            self._graph, self._recorded_norm = graph, self._grad_norm
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            self._can_record = False
            self.trainer.optimizers[0].zero_grad(set_to_none=True)
            log.warning("steps are not recorded as a CUDA graph: %s", in_one_line(error))
        del self.train_losses[num_losses:]  # recorded, but not yet computed

    def _whole_step(self, batch: Sequence[Tensor], batch_idx: int) -> Tensor:
        """Leaves no gradients, so that Lightning's own step finds none."""
        optimizer = self.trainer.optimizers[0]
        loss = super().training_step(batch, batch_idx)
        with torch.autocast(self.device.type, enabled=False), tensor_rates(optimizer, self._rates):
            loss.backward()
            super().configure_gradient_clipping(optimizer)
            optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.detach()


def captured(kind: type[LanguageModule]) -> type[LanguageModule]:
    """A subclass of this kind of module with CapturedSteps."""

    class Captured(CapturedSteps, kind):
        pass

    return Captured


@contextmanager
def tensor_rates(optimizer: Optimizer, rates: list[Tensor]) -> Iterator[None]:
    """Inside, each group's learning rate is a tensor: a graph would keep a number for good."""
    groups = [dict(group) for group in optimizer.param_groups]
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group.update(lr=rate, capturable=True)  # AdamW insists on the second
    try:
        yield
    finally:
        for group, before in zip(optimizer.param_groups, groups, strict=True):
            group.clear()
            group.update(before)
