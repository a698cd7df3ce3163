"""The parts of a run from which its Trainer is built, and numbers that follow from them."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from transformer.config.keys import Config
from transformer.data.datamodule import EndlessDataModule
from transformer.run.folder_keeper import RunFolder
from transformer.run.reports import many_passes_note
from transformer.system.signals import Signals
from transformer.tasks.registry import task_of
from transformer.tasks.task_run import TaskRun
from transformer.training.callbacks.checkpoints import RunCheckpointIO
from transformer.training.callbacks.curves import Curves
from transformer.training.callbacks.pace import Pace
from transformer.training.callbacks.throughput import Throughput
from transformer.training.lightning_module import LanguageModule
from transformer.training.validations import ValidationPlan, plan_validations


@dataclass(frozen=True)
class Run:
    config: Config
    folder: Path
    task: TaskRun
    module: LanguageModule
    throughput: Throughput
    total_steps: int
    num_devices: int = 1
    schedule_changed: bool = False  # by new settings of a resumed run
    keeper: RunFolder | None = None  # None for a run that leaves no files
    sums_up: bool = True  # at its end; otherwise the run is a part of something else
    pace: Pace | None = None  # of the run that this one repeats, in place of the clock
    checkpoint_io: RunCheckpointIO = field(default_factory=RunCheckpointIO)
    signals: Signals = field(default_factory=Signals)
    curves: Curves = field(default_factory=Curves)
    shown_texts: dict[int, str] = field(default_factory=dict)  # by step: the last validation's

    @property
    def tokens_per_step(self) -> int:
        config = self.config
        return self.num_devices * config.accumulate_grad_batches * self.tokens_per_batch

    @cached_property  # made before the data module looks at a part of the split alone
    def validation_plan(self) -> ValidationPlan:
        """For a run whose config leaves it open, and that steps end, not the clock."""
        return plan_validations(
            self.total_steps,
            self.tokens_per_step * self.forward_passes,
            self.data.looked_at_tokens,
            self.task.shown_tokens,
        )

    @property
    def tokens_per_batch(self) -> int:
        return round(self.config.batch_size * self.task.tokens_per_example)

    @property
    def batch_words(self) -> str:
        """How the examples of a step add up: `batch_size 4 x 2 devices = 8 examples`."""
        config = self.config
        factors = [f"batch_size {config.batch_size}"]
        if self.num_devices > 1:
            factors.append(f"{self.num_devices} devices")
        if config.accumulate_grad_batches > 1:
            factors.append(f"{config.accumulate_grad_batches} batches")
        examples = config.batch_size * self.num_devices * config.accumulate_grad_batches
        return " x ".join(factors) + (f" = {examples:,} examples" if len(factors) > 1 else "")

    def many_passes_note(self, num_steps: int) -> str | None:
        """A note if a run of `num_steps` would read its text too often; None for pairs."""
        if self.dropout is None or self.monitor != "val_loss":
            return None
        steps_per_pass = self.data.num_train_tokens / self.tokens_per_step
        return many_passes_note(num_steps, steps_per_pass, self.dropout)

    @property
    def monitor(self) -> str:
        """The score that picks the best weights; lower is better."""
        return task_of(self.config.model).monitor

    @property
    def dropout(self) -> float | None:
        return self.config.resolved().get("dropout")

    @property
    def forward_passes(self) -> int:
        """How often a training step passes each token through the model."""
        return 2 if self.config.r_drop else 1

    @property
    def data(self) -> EndlessDataModule:
        return self.task.data
