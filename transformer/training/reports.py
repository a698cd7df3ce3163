"""What a run says of itself before its first step and after its last."""

import platform
from typing import Any

import pytorch_lightning as pl
import torch
from tabulate import tabulate

from transformer.devices import device_name
from transformer.models.base import SequenceModel
from transformer.training.callbacks import Throughput
from transformer.training.estimates import parameters_by_part, peak_memory_bytes


def introduction(
    model: SequenceModel,
    *,
    num_train_tokens: int,
    total_steps: int,
    tokens_per_step: int,
    largest_batch: int,
) -> str:
    """Steps, tokens, parameters by part and an estimate of the memory that training takes."""
    parts = parameters_by_part(model)
    rows = [*parts.items(), ("all parameters", sum(parts.values()))]
    table = tabulate([(name, f"{count:,}") for name, count in rows], colalign=("left", "right"))
    passes = total_steps * tokens_per_step / num_train_tokens
    memory = peak_memory_bytes(model, largest_batch)
    return (
        f"{total_steps:,} steps of {tokens_per_step:,} tokens; a corpus pass is "
        f"{num_train_tokens:,}, so {passes:.3g} passes\n{table}\n"
        f"memory that training takes: about {memory / 1e9:.2g} GB"
    )


def run_facts(trainer: pl.Trainer, throughput: Throughput) -> dict[str, Any]:
    """How far, how long, how fast and on what, under the names of summary.json."""
    module = trainer.lightning_module
    train_loss = trainer.callback_metrics.get("train_loss")  # none where no step was left to do
    return {
        "train_loss": float(train_loss) if train_loss is not None else None,
        "step": trainer.global_step,
        "corpus_passes": throughput.corpus_passes,
        "elapsed_seconds": throughput.elapsed_seconds,
        "tokens_per_second": throughput.tokens_per_second,
        "num_parameters": sum(p.numel() for p in module.parameters()),
        "device": device_name(trainer.strategy.root_device),
        "precision": str(trainer.precision),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def conclusion(headline: str, summary: dict[str, Any]) -> str:
    return (
        f"{headline} at step {summary['best_step']:,} of {summary['step']:,}, "
        f"{summary['elapsed_seconds']:.0f} s, {summary['tokens_per_second']:,.0f} tokens/s"
    )
