"""The texts that a run prints before its first step and after its last."""

import platform
from typing import Any

import pytorch_lightning as pl
import torch
from tabulate import tabulate

from transformer.models.base import SequenceModel
from transformer.run.coach import DROPOUT
from transformer.system.devices import device_name
from transformer.training.callbacks.throughput import Throughput
from transformer.training.estimates import ENDLESS_STEPS, parameters_by_part
from transformer.training.lightning_module import LanguageModule

# Without dropout, models of the default size reach their best val_loss after 2 to 8 passes.
MANY_PASSES, FEW_PASSES = 10, 4


def introduction(
    model: SequenceModel,
    *,
    num_train_tokens: int,
    total_steps: int,
    tokens_per_step: int,
    batch: str,
) -> str:
    """Describes the steps, the tokens, and the parameters by part.

    `batch` tells how the examples of a step add up.
    """
    parts = parameters_by_part(model)
    rows = [*parts.items(), ("all parameters", sum(parts.values()))]
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    rows += [("trained of them", trained)] * (trained < sum(parts.values()))
    table = tabulate([(name, f"{count:,}") for name, count in rows], colalign=("left", "right"))
    steps = f"{total_steps:,} steps" if total_steps < ENDLESS_STEPS else "steps"
    passes = total_steps * tokens_per_step / num_train_tokens
    in_all = f", so this is {passes:.3g} passes" * (total_steps < ENDLESS_STEPS)
    return (
        f"{steps} of {tokens_per_step:,} tokens ({batch}); a corpus pass is "
        f"{num_train_tokens:,} tokens{in_all}\n{table}"
    )


def many_passes_note(total_steps: int, steps_per_pass: float, dropout: float) -> str | None:
    """A note if a model without dropout reads the text so often that it learns it by heart."""
    passes = total_steps / steps_per_pass
    if dropout or passes < MANY_PASSES:
        return None
    few = max(1, round(FEW_PASSES * steps_per_pass))
    return (
        f"{passes:.3g} passes over a small text: the model soon learns it by heart, and then "
        f"stops improving. Try --max_steps {few} ({FEW_PASSES} passes) or --dropout {DROPOUT:g}"
    )


def run_facts(trainer: pl.Trainer, throughput: Throughput) -> dict[str, Any]:
    module = trainer.lightning_module
    assert isinstance(module, LanguageModule)
    # None if no step was left: the run was killed between its last checkpoint and its end.
    train_loss, val_loss = map(trainer.callback_metrics.get, ("train_loss", "val_loss"))
    return {
        "train_loss": float(train_loss) if train_loss is not None else None,
        "last_val_loss": float(val_loss) if val_loss is not None else None,
        "step": trainer.global_step,
        "skipped_steps": module.skipped_steps,
        "corpus_passes": throughput.corpus_passes,
        "elapsed_seconds": throughput.elapsed_seconds,
        "tokens_per_second": throughput.tokens_per_second,
        "num_trained_parameters": sum(p.numel() for p in module.parameters() if p.requires_grad),
        "device": device_name(trainer.strategy.root_device),
        "num_devices": trainer.world_size,
        "precision": str(trainer.precision),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def conclusion(headline: str, summary: dict[str, Any]) -> str:
    return (
        f"{headline} at step {summary['best_step']:,} of {summary['step']:,}, "
        f"{summary['elapsed_seconds']:.0f} s, {summary['tokens_per_second']:,.0f} tokens/s"
    )


def out_of_memory_advice(batch_size: int, batches: int) -> str:
    """Advises smaller batches, and more of them, with the same number of examples per step.

    `batches` is the current number of batches per step.
    """
    if batch_size == 1:
        return "out of memory with batch_size 1: give a smaller `block_size` or `embedding_dim`"
    divisor = next(n for n in range(2, batch_size + 1) if batch_size % n == 0)
    return (
        f"out of memory with batch_size {batch_size}: give `batch_size={batch_size // divisor}` "
        f"`accumulate_grad_batches={batches * divisor}`, as many examples per step, or a smaller "
        "model"
    )
