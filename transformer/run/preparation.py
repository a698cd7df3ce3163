"""From a config and its data to what a run computes with, its choices on this machine made."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformer.config.keys import Config
from transformer.run import assembly
from transformer.run.compile_choice import settle_compile
from transformer.run.parts import Run
from transformer.run.settling import settle
from transformer.system.cores import leave_threads_to_lightning
from transformer.system.processes import num_sharing_cores
from transformer.tasks.base import Data
from transformer.tasks.task_run import TaskRun
from transformer.training.callbacks.throughput import Throughput
from transformer.training.lightning_module import LanguageModule


@dataclass(frozen=True, kw_only=True)
class Prepared:
    config: Config  # settled
    hardware: dict[str, Any]  # arguments of pl.Trainer
    num_devices: int  # of all machines
    task: TaskRun
    module: LanguageModule
    total_steps: int

    def as_run(self, folder: Path, started_at: float | None = None) -> Run:
        """The run that trains with these parts; `started_at` is a time of time.monotonic."""
        data, task = self.task.data, self.task
        throughput = Throughput(data.num_train_tokens, task.tokens_per_example, started_at)
        parts = self.config, folder, task, self.module, throughput, self.total_steps
        return Run(*parts, self.num_devices)


def prepare(
    config: Config,
    data: Data,
    resume: Path | None = None,
    *,
    profile: bool = False,
    try_compiling: bool = True,
) -> Prepared:
    """Raises: UserError for devices that this machine does not have, and for too little data."""
    config = settle(config)
    hardware = assembly.choose_hardware(config)
    if hardware["devices"] > 1:
        leave_threads_to_lightning(config.num_threads)
    task = assembly.build_task(config, data, num_sharing_cores(hardware["devices"]))
    num_devices = hardware["devices"] * hardware["num_nodes"]
    assembly.check_shares(config, task.data.num_val_examples, num_devices)
    total_steps = assembly.count_steps(config, task.data.num_examples, num_devices)
    # The trace of a profile names each operation, which a recorded step would not.
    recorded = not profile and assembly.records_steps(
        config, hardware, shapes_vary=task.shapes_vary
    )
    module = assembly.build_module(config, task, total_steps, resume, recorded=recorded)
    return Prepared(
        config=settle_compile(config, module, task, total_steps, trial=try_compiling),
        hardware=hardware,
        num_devices=num_devices,
        task=task,
        module=module,
        total_steps=total_steps,
    )
