"""Loss, steps, logging and optimizers around a model."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from jaxtyping import Float, Int
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.optim.lr_scheduler import LambdaLR

from transformer.checkpoint import METADATA_KEY, encode_metadata, model_tensors
from transformer.defaults import IGNORED
from transformer.errors import UserError
from transformer.models import SequenceModel, build_model
from transformer.models.layers import skipped_initialization
from transformer.training.loggers import log_scalars
from transformer.training.loop_state import logs_now
from transformer.training.losses import cross_entropy, dropout_divergence, passed_twice
from transformer.training.optimizers import check_state, make_optimizer
from transformer.training.ranks import of_all_ranks
from transformer.training.schedules import automatic_warmup, learning_rate_factor
from transformer.training.step_guard import StepGuard, skip_step
from transformer.training.strategies import whole

STATE_KEY = "language_module"  # in a checkpoint


class LanguageModule(pl.LightningModule):
    """Next-token training of any model with `forward(tokens) -> logits` and an `architecture`.

    `lr` is the schedule's peak. `label_smoothing` spreads that share of each target's probability
    over all symbols (Szegedy et al. 2016, arXiv:1512.00567, 7), in training alone, whose
    train_loss is against that. `r_drop` above 0 passes each batch through the model twice, each
    time with another dropout, and adds so much of `dropout_divergence` to the loss, but not to
    train_loss. `metadata` (plain dicts under the names tokenizer, config, corpus)
    goes into every checkpoint, so that text can be generated from it alone. `total_steps` is the
    schedule's length, by default the Trainer's max_steps.
    """

    def __init__(
        self,
        model: SequenceModel,
        *,
        lr: float,
        optimizer: str = "adamw",
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        beta1: float = 0.9,
        beta2: float = 0.95,
        eps: float = 1e-8,
        grad_clip: float = 1.0,
        label_smoothing: float = 0.0,
        r_drop: float = 0.0,
        schedule: str = "cosine",
        warmup_steps: int | str = "auto",
        decay_fraction: float = 0.6,
        final_lr_fraction: float = 0.1,
        total_steps: int | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.metadata = {"architecture": model.architecture} | dict(metadata or {})
        self.grad_clip = grad_clip
        self.label_smoothing = label_smoothing
        self.r_drop = r_drop
        self.total_steps = total_steps
        self.started = False  # True once all of a checkpoint has been taken over
        self.lr_on_resuming = (lr, lr)  # the next step's, by the checkpoint and by the new settings
        self.total_steps_before: int | None = None  # by the checkpoint
        self._time_share = 0.0
        self._optimizer = {
            "name": optimizer,
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "beta1": beta1,
            "beta2": beta2,
            "eps": eps,
        }
        self._schedule = schedule
        self._scheduler: LambdaLR | None = None
        self._group_settings: list[dict[str, Any]] = []
        self._warmup_steps = warmup_steps
        self._shape = {"decay_fraction": decay_fraction, "final_lr_fraction": final_lr_fraction}
        self._guard = StepGuard()
        self._restored: dict[str, Any] | None = None
        self._train_losses: list[Tensor] = []  # since the last logging
        self._val_sums: list[Tensor] = []
        self._grad_norm = torch.zeros(())

    def forward(self, *inputs: Int[Tensor, "B _"]) -> Float[Tensor, "B T V"]:
        return self.model(*inputs)

    def on_train_start(self) -> None:
        """New settings of a resumed run take effect, although its checkpoint brought the old.

        Raises: ValueError for a checkpoint whose optimizer has not the state of this one.
        """
        self._restore()
        assert self._scheduler is not None
        check_state(self._scheduler.optimizer)
        groups = self._scheduler.optimizer.param_groups
        before = groups[0]["lr"]
        for group, settings in zip(groups, self._group_settings, strict=True):
            group.update(settings)
        self._scheduler.base_lrs = [settings["initial_lr"] for settings in self._group_settings]
        for group, factor in zip(groups, self._scheduler.lr_lambdas, strict=True):
            group["lr"] = group["initial_lr"] * factor(self._scheduler.last_epoch)
        self.lr_on_resuming = (before, groups[0]["lr"])
        self.started = True

    def training_step(self, batch: Sequence[Tensor], batch_idx: int) -> Tensor:
        *inputs, targets = passed_twice(batch) if self.r_drop else batch
        logits, others = self.predict(inputs, targets)
        loss = cross_entropy(logits, targets, "mean", self.label_smoothing)
        self._train_losses.append(loss.detach())
        if self.r_drop:
            others = others + self.r_drop * dropout_divergence(logits, targets)
        return loss + others

    def predict(self, inputs: Sequence[Tensor], targets: Tensor) -> tuple[Tensor, Tensor | float]:
        """Logits, and what else is to be minimized, weighted, which train_loss leaves out."""
        return self.model(*inputs), 0.0

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Logs the mean loss of the steps since the last time; nothing is read back until then."""
        if logs_now(self.trainer):
            self.log_training()

    def on_validation_epoch_start(self) -> None:
        """A run too short for a regular logging has its train_loss by its first validation."""
        self._val_sums.clear()
        if self._train_losses and "train_loss" not in self.trainer.callback_metrics:
            self.log_training()

    def validation_step(self, batch: Sequence[Tensor], batch_idx: int) -> None:
        *inputs, targets = batch
        loss_sum = cross_entropy(self.model(*inputs), targets, "sum")
        self._val_sums.append(torch.stack((loss_sum, (targets != IGNORED).sum())))

    def on_validation_epoch_end(self) -> None:
        """The mean over every scored token of all ranks, whatever the batches' sizes."""
        sums = torch.stack(self._val_sums).cpu().double().sum(dim=0).to(self.device, torch.float32)
        loss_sum, num_scored = self.trainer.strategy.reduce(sums, reduce_op="sum")
        scalars = self.loss_units(loss_sum / num_scored)
        if not scalars["val_loss"].isfinite():
            raise UserError(
                f"val_loss is {scalars['val_loss']:g} after step {self.trainer.global_step:,}: "
                "training has diverged; give a smaller `lr` or more `warmup_steps` (the best "
                "weights so far are kept)"
            )
        self.log_dict(scalars, logger=False, sync_dist=True)  # alike on all ranks already
        if not self.trainer.sanity_checking:
            log_scalars(self.trainer, {name: value.item() for name, value in scalars.items()})

    def loss_units(self, val_loss: Tensor) -> dict[str, Tensor]:
        """What is logged of a validation's loss, in nats a token."""
        return {"val_loss": val_loss, "val_bits_per_char": val_loss / math.log(2)}

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        # Lightning cannot unscale the gradients of a fused optimizer before they are clipped.
        fused = self._trainer is None or self.trainer.precision != "16-mixed"
        optimizer = make_optimizer(model=self.model, fused=fused, **self._optimizer)
        total_steps = self._total_steps()
        warmup_steps = self._warmup_steps
        if isinstance(warmup_steps, str):
            warmup_steps = automatic_warmup(total_steps)
        warmup_steps = min(warmup_steps, total_steps)

        def factor(step: int) -> float:
            progress = max(step / total_steps, self._time_share)
            return learning_rate_factor(
                self._schedule, step, progress, warmup_steps=warmup_steps, **self._shape
            )

        self._scheduler = LambdaLR(optimizer, factor)
        self._group_settings = [
            {name: value for name, value in group.items() if name != "params"}
            for group in optimizer.param_groups
        ]
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": self._scheduler, "interval": "step"},
        }

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clips at grad_clip (or the Trainer's own limit) and keeps the norm for the log.

        Without a limit the gradients are only read. The step is skipped where the norm is not
        finite.
        """
        limit = gradient_clip_val or self.grad_clip
        gradients = [part.grad for part in self.model.parameters() if part.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        if limit:
            nn.utils.clip_grads_with_norm_(self.model.parameters(), limit, norm)
        self._grad_norm = whole(norm)
        skipped = self._guard.count(self._grad_norm)
        if self.trainer.precision != "16-mixed":  # whose GradScaler skips by itself
            skip_step(optimizer, skipped)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint[METADATA_KEY] = encode_metadata(
            self.metadata, model_tensors(checkpoint["state_dict"])
        )
        metrics = self._trainer.callback_metrics if self._trainer else {}
        checkpoint[STATE_KEY] = {
            "train_losses": of_all_ranks([loss.cpu() for loss in self._train_losses]),
            "train_loss": metrics.get("train_loss"),
            "total_steps": self.total_steps,
            "skipped": self._guard.state(),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._restored = state = checkpoint[STATE_KEY]
        self.total_steps_before = state.get("total_steps")  # older checkpoints have none
        self._guard.restore(state["skipped"])

    def whole_weights(self) -> dict[str, Tensor]:
        """The model's, put together on rank 0 where they are sharded; all ranks ask at once."""
        return model_tensors(self.trainer.strategy.lightning_module_state_dict())

    def whole_model(self) -> SequenceModel:
        """One that a rank can use alone: of sharded weights a copy, which is on the CPU.

        All ranks ask at once, and rank 0 has an answer of use.
        """
        if not isinstance(self.model, FSDPModule):
            return self.model
        weights = self.whole_weights()
        with skipped_initialization():
            model = build_model(**self.model.architecture)
        if weights:
            model.load_state_dict(weights)
        return model

    @property
    def skipped_steps(self) -> int:
        """Whose gradient was not finite."""
        return int(self._guard.total)

    def spend_time(self, share: float) -> None:
        """Tells the schedule which share of a time limit is spent: its progress is no less.

        A run without a time limit is never told, whatever its checkpoint had.
        """
        self._time_share = share

    def log_training(self) -> None:
        """Logs what was not logged yet; without a step since the last time, nothing."""
        if not self._train_losses:
            return
        losses = torch.stack(self._train_losses)
        self._train_losses.clear()
        counted = losses.isfinite()  # a step with another one was skipped
        sums = torch.stack((losses.where(counted, 0).sum(), counted.sum()))
        loss_sum, num_counted = self.trainer.strategy.reduce(sums, reduce_op="sum")
        train_loss = loss_sum / num_counted
        self.log("train_loss", train_loss, logger=False, sync_dist=True)
        scalars = {
            "train_loss": train_loss.item(),
            "lr": self.trainer.optimizers[0].param_groups[0]["lr"],
            "grad_norm": self._grad_norm.item(),
        }
        log_scalars(self.trainer, scalars)
        self._guard.report(self.trainer.global_step, scalars["lr"], scalars["grad_norm"])

    def _restore(self) -> None:
        """What a checkpoint brought, where the run is a resumed one."""
        if self._restored is None:
            return
        losses = self._restored["train_losses"]  # of each rank
        if len(losses) == self.trainer.world_size:
            own = losses[self.global_rank]
        else:
            own = [torch.stack(of_a_step).mean() for of_a_step in zip(*losses, strict=True)]
        self._train_losses = [loss.to(self.device) for loss in own]
        if self._restored["train_loss"] is not None:
            self.trainer.callback_metrics["train_loss"] = self._restored["train_loss"]
        self._restored = None

    def _total_steps(self) -> int:
        total = self.total_steps or self.trainer.max_steps
        if total < 1:
            raise ValueError(
                "the schedule needs its length: give total_steps or Trainer(max_steps=)"
            )
        return total
