"""The LightningModule of a model: its loss, steps, logging and optimizer."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float, Int
from pytorch_lightning.trainer.states import TrainerFn
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from transformer.models.base import SequenceModel
from transformer.storage.metadata import METADATA_KEY, encode_metadata, model_tensors
from transformer.system.errors import UserError
from transformer.system.lean_imports import scoring
from transformer.system.terminal import ignore_lightnings_own_warnings
from transformer.training.lightning_internals import add_metrics, logs_now
from transformer.training.loggers import log_scalars
from transformer.training.losses import (
    LossSums,
    cross_entropy,
    dropout_divergence,
    loss_units,
    passed_twice,
)
from transformer.training.optimization.optimizers import check_state, make_optimizer
from transformer.training.optimization.schedules import Schedule, ScheduledLR
from transformer.training.optimization.step_guard import StepGuard, skip_step
from transformer.training.ranks import of_all_ranks
from transformer.training.saved_module import SavedModule
from transformer.training.settings import OptimizerSettings
from transformer.training.strategies import whole

STATE_KEY = "language_module"  # in a checkpoint


class LanguageModule(SavedModule):
    """Trains any model with `forward(tokens) -> logits` and an `architecture` on next tokens.

    `lr` is the peak of the schedule. `label_smoothing` spreads this share of each target's
    probability over all symbols (Szegedy et al. 2016, arXiv:1512.00567, 7); it changes train_loss,
    but not val_loss. `r_drop` above 0 passes each batch through the model twice, each time with
    another dropout mask, and adds `r_drop` times `dropout_divergence` to the loss, but not to
    train_loss. `metadata` (plain dicts: tokenizer, config, corpus) goes into every checkpoint: this
    is enough to generate text. `total_steps` is the schedule's length, by default the Trainer's.
    """

    num_inputs = 1  # how many of the first tensors of a batch the model takes

    started = False  # True after a checkpoint was restored completely
    total_steps_before: int | None = None  # in the checkpoint
    _restored: dict[str, Any] | None = None

    def __init__(
        self,
        model: SequenceModel,
        *,
        lr: float,
        optimizer: str = "adamw",
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        polar: str = "newton_schulz",
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
        lr = float(lr)  # reading a NumPy number from a checkpoint could run code
        self.save_hyperparameters(ignore=["model", "metadata"])
        self.model, self.lr = model, lr
        self.metadata = {"architecture": model.architecture} | dict(metadata or {})
        self.grad_clip, self.total_steps = grad_clip, total_steps
        self.label_smoothing, self.r_drop = label_smoothing, r_drop
        self.lr_on_resuming = (lr, lr)  # for the next step: the old one, and the new one
        numbers = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "eps": eps}
        numbers |= {"beta1": beta1, "beta2": beta2}
        self._optimizer = OptimizerSettings(optimizer=optimizer, polar=polar, **numbers)
        self._schedule = Schedule(schedule, warmup_steps, decay_fraction, final_lr_fraction)
        self._group_settings: list[dict[str, Any]] = []
        self._guard = StepGuard()
        self.train_losses: list[Tensor] = []  # since they were last logged
        self._val_sums = LossSums()  # of a validation or of a test
        self._grad_norm = torch.zeros(())

    def forward(self, *inputs: Int[Tensor, "B _"]) -> Float[Tensor, "B T V"]:
        return self.model(*inputs)

    def setup(self, stage: str) -> None:
        ignore_lightnings_own_warnings()
        self.train_losses.clear()  # of an earlier fit

    def on_train_start(self) -> None:
        """Applies the new settings of a resumed run, as Lightning has restored the old ones.

        Raises: ValueError if the restored state does not fit the optimizer.
        """
        self._restore()
        scheduler = self.lr_schedulers()
        if isinstance(scheduler, ScheduledLR):  # false for the learning-rate finder of Lightning
            check_state(scheduler.optimizer)
            groups = scheduler.optimizer.param_groups
            before = groups[0]["lr"]
            for group, settings in zip(groups, self._group_settings, strict=True):
                group.update(settings, initial_lr=self.lr)
                group["lr"] = self.lr * self._schedule.factor(scheduler.last_epoch)
            scheduler.base_lrs = [self.lr for _ in groups]
            self.lr_on_resuming = (before, groups[0]["lr"])
        self.started = True

    def training_step(self, batch: Sequence[Tensor], batch_idx: int) -> Tensor:
        *inputs, targets = passed_twice(batch) if self.r_drop else batch
        logits, others = self.predict(inputs, targets)
        loss = cross_entropy(logits, targets, "mean", self.label_smoothing)
        self.train_losses.append(loss.detach())
        if self.r_drop:
            others = others + self.r_drop * dropout_divergence(logits, targets)
        return loss + others

    def predict(self, inputs: Sequence[Tensor], targets: Tensor) -> tuple[Tensor, Tensor | float]:
        """The logits, and the sum of other weighted loss terms, which train_loss leaves out."""
        return self.model(*inputs), 0.0

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Logs every log_every_n_steps; between these steps, no number is read from the device."""
        if logs_now(self.trainer):
            self.log_training()

    def on_train_epoch_end(self) -> None:
        """Logs train_loss if the run was too short for a regular logging."""
        self._log_first_training()

    def on_validation_epoch_start(self) -> None:
        """Also logs train_loss if no regular logging came before the first validation."""
        self._val_sums.clear()
        self._log_first_training()

    def validation_step(self, batch: Sequence[Tensor], batch_idx: int) -> None:
        with scoring(self.device.type):
            self._val_sums.add(self.model(*batch[:-1]), batch[-1])

    def on_validation_epoch_end(self) -> None:
        self._log_score("val")

    def on_test_epoch_start(self) -> None:
        self._val_sums.clear()

    def test_step(self, batch: Sequence[Tensor], batch_idx: int) -> None:
        self.validation_step(batch, batch_idx)

    def on_test_epoch_end(self) -> None:
        self._log_score("test")

    def predict_step(self, batch: Tensor | Sequence[Tensor]) -> Float[Tensor, "B T V"]:
        """The logits of a batch, whether it has targets or not."""
        inputs = [batch] if isinstance(batch, Tensor) else batch[: self.num_inputs]
        return self.model(*inputs)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        precision = "32-true" if self._trainer is None else str(self.trainer.precision)
        # Lightning cannot unscale the gradients of a fused optimizer before they are clipped.
        formats = {"fused": precision != "16-mixed", "bf16": precision.startswith("bf16")}
        settings = replace(self._optimizer, lr=self.lr)  # may be set by Lightning's tuner
        optimizer = make_optimizer(self.model, settings, **formats)
        total_steps = self.total_steps or self.trainer.estimated_stepping_batches
        self._schedule = self._schedule.over(total_steps)
        scheduler = ScheduledLR(optimizer, self._schedule.factor)
        self._group_settings = [
            {name: value for name, value in group.items() if name != "params"}
            for group in optimizer.param_groups
        ]
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clips at `grad_clip` or at the Trainer's gradient_clip_val, and keeps the norm to log it.

        A limit of 0 changes no gradient. The step is skipped if the norm is not finite.
        """
        limit = self.grad_clip if gradient_clip_val is None else gradient_clip_val
        gradients = [part.grad for part in self.model.parameters() if part.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        if limit and gradient_clip_val is not None and gradient_clip_algorithm == "value":
            nn.utils.clip_grad_value_(self.model.parameters(), limit)
        elif limit:
            nn.utils.clip_grads_with_norm_(self.model.parameters(), limit, norm)
        self._grad_norm = whole(norm)
        skipped = self._guard.count(self._grad_norm)
        if self.trainer.precision != "16-mixed":  # there the GradScaler skips steps
            skip_step(optimizer, skipped)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint[METADATA_KEY] = encode_metadata(
            self.checkpoint_metadata, model_tensors(checkpoint["state_dict"])
        )
        metrics = self._trainer.callback_metrics if self._trainer else {}
        checkpoint[STATE_KEY] = {
            "train_losses": of_all_ranks([loss.cpu() for loss in self.train_losses]),
            "train_loss": metrics.get("train_loss"),
            "total_steps": self.total_steps,
            "skipped": self._guard.state(),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keeps the state for a fit to restore; a validation or test needs the weights alone."""
        state = checkpoint[STATE_KEY]
        self.total_steps_before = state.get("total_steps")  # older checkpoints have none
        if self._trainer is not None and self.trainer.state.fn == TrainerFn.FITTING:
            self._restored = state
            self._guard.restore(state["skipped"])

    @property
    def skipped_steps(self) -> int:
        return int(self._guard.total)

    def spend_time(self, share: float) -> None:
        """Sets the used share of the time limit; the schedule's progress is at least this share.

        A run without a time limit never calls this, even if its checkpoint had a limit.
        """
        self._schedule.time_share = share

    def log_training(self) -> None:
        """Logs the mean loss of the steps since the last call, if there were any."""
        if not self.train_losses:
            return
        losses = torch.stack(self.train_losses)
        self.train_losses.clear()
        counted = losses.isfinite()  # the other steps were skipped
        sums = torch.stack((losses.where(counted, 0).sum(), counted.sum()))
        loss_sum, num_counted = self.trainer.strategy.reduce(sums, reduce_op="sum")
        train_loss = loss_sum / num_counted
        self.log("train_loss", train_loss, prog_bar=True, logger=False, sync_dist=True)
        scalars = {
            "train_loss": train_loss.item(),
            "lr": self.trainer.optimizers[0].param_groups[0]["lr"],
            "grad_norm": self._grad_norm.item(),
        }
        log_scalars(self.trainer, scalars)
        self._guard.report(self.trainer.global_step, scalars["lr"], scalars["grad_norm"])

    def _log_first_training(self) -> None:
        if self.train_losses and "train_loss" not in self.trainer.callback_metrics:
            self.log_training()

    def _log_score(self, split: str) -> None:
        """Logs the score at the number of steps done; outside a fit, through Lightning.

        Raises: UserError if the loss is not finite.
        """
        loss = self._val_sums.mean(self.trainer.strategy, self.device)
        if not loss.isfinite():
            raise UserError(
                f"{split}_loss is {loss:g} after step {self.trainer.global_step:,}: "
                "training has diverged; give a smaller `lr` or more `warmup_steps` (the best "
                "weights so far are kept)"
            )
        data = getattr(self.trainer, "datamodule", None)
        scalars = loss_units(loss, split, getattr(data, "tokens_per_unit", {}))
        fitting = self.trainer.state.fn == TrainerFn.FITTING
        logger = False if fitting else None  # True would warn if there is no logger
        for name, value in scalars.items():  # already equal on all ranks
            self.log(name, value, prog_bar=value is loss, logger=logger, sync_dist=True)
        if fitting and not self.trainer.sanity_checking:
            log_scalars(self.trainer, {name: value.item() for name, value in scalars.items()})

    def _restore(self) -> None:
        if self._restored is None:
            return
        losses = self._restored["train_losses"]  # of each rank
        if len(losses) == self.trainer.world_size:
            own = losses[self.global_rank]
        else:
            own = [torch.stack(of_a_step).mean() for of_a_step in zip(*losses, strict=True)]
        self.train_losses = [loss.to(self.device) for loss in own]
        if (train_loss := self._restored["train_loss"]) is not None:
            add_metrics(self.trainer, {"train_loss": train_loss})
        self._restored = None
