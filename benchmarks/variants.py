"""The variants of a config that `ablate.py` compares, and their training."""

import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import pytorch_lightning as pl
import torch
from candidates import CANDIDATES, SWITCHES

from transformer.config import scalars
from transformer.config.files import load_config, unknown_name
from transformer.config.keys import Config
from transformer.data.text.corpus import Corpus
from transformer.evaluation.text import score_model
from transformer.models.base import TokenModel
from transformer.run import assembly
from transformer.run.settling import settle
from transformer.system.errors import UserError

# These keys would make a different experiment, not a variant.
FIXED = ("data_path", "epochs", "max_minutes", "max_steps", "seed", "val_fraction")
WARMUP_STEPS = 5  # of a cost measurement; the first one may compile


@dataclass(frozen=True)
class Variant:
    """A config, and candidates by name, which are not config keys."""

    config: Config
    candidates: dict[str, float] = field(default_factory=dict)


def parse_switch(switch: str, base: Config) -> dict[str, Any]:
    """Returns the keys and candidates that a switch changes, with values as in a config file.

    Raises: UserError for an unknown or fixed key, and for a lone key that is not boolean.
    """
    known = [*Config.model_fields, *CANDIDATES]
    changes: dict[str, Any] = {}
    for part in switch.split("+"):
        key, equals, text = part.strip().partition("=")
        if key not in known:
            raise UserError(f"--switch {switch}: {unknown_name('key', key, known)}")
        if key in FIXED or key in changes:
            why = "must be the same for all" if key in FIXED else "is given twice"
            raise UserError(f"--switch {switch}: {key} {why}")
        value = getattr(base, key, False if key in SWITCHES else 0.0)
        if not equals and not isinstance(value, bool):
            raise UserError(f"--switch {switch}: {key} is {value!r}, not boolean: give {key}=VALUE")
        changes[key] = scalars.value(text, scalars.kind_of(text)) if equals else not value
    return changes


def make_variants(path: Path, switches: list[str], data_path: str | None) -> dict[str, Variant]:
    """Returns the config itself as "base", and each variant by its switch.

    Raises: UserError for a switch given twice, one that changes nothing, and a wrong value.
    """
    given = {"data_path": data_path} if data_path else {}
    base = load_config(path, given)
    variants = {"base": Variant(base)}
    for switch in switches:
        changes = parse_switch(switch, base)
        chosen = {key: _number(key, changes.pop(key)) for key in CANDIDATES if key in changes}
        chosen = {key: value for key, value in chosen.items() if value}
        variant = Variant(load_config(path, given | changes), chosen)
        if switch in variants or variant == variants["base"]:
            raise UserError(f"--switch {switch}: is given twice or changes nothing")
        variants[switch] = variant
    return variants


def _number(key: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise UserError(f"--switch {key}: its value must be a number, got {value!r}") from None


class StepClock(pl.Callback):
    """Notes the time at the end of each step, on CUDA after the device has finished it."""

    def __init__(self) -> None:
        self.ends: list[float] = []
        self._num_steps = 0

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_step == self._num_steps:  # a batch whose gradients are accumulated
            return
        self._num_steps = trainer.global_step
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.ends.append(time.perf_counter())

    def seconds_per_step(self) -> float:
        """The median; the first WARMUP_STEPS are left out."""
        ends = self.ends[WARMUP_STEPS - 1 :]
        return median(after - before for before, after in pairwise(ends))


def fit(
    variant: Variant, corpus: Corpus, seed: int, steps: int, clock: pl.Callback | None = None
) -> tuple[TokenModel, pl.LightningDataModule]:
    """Trains a whole schedule of `steps`, without validating or saving; returns model and data."""
    config = settle(variant.config.model_copy(update={"seed": seed}))
    pl.seed_everything(seed, verbose=False)
    task = assembly.build_task(config, corpus)
    module = assembly.build_module(config, task, steps)
    parts = [CANDIDATES[name](module, value) for name, value in variant.candidates.items()]
    trainer = pl.Trainer(
        **assembly.choose_hardware(config),
        max_epochs=-1,
        max_steps=steps,
        accumulate_grad_batches=config.accumulate_grad_batches,
        limit_val_batches=0,
        log_every_n_steps=assembly.LOG_EVERY_STEPS,
        logger=False,
        callbacks=[part for part in (*parts, clock) if part is not None],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    trainer.fit(module, task.data)
    assert isinstance(module.model, TokenModel)
    return module.model.to(trainer.strategy.root_device), task.data


def loss_after(variant: Variant, corpus: Corpus, seed: int, steps: int) -> float:
    model, data = fit(variant, corpus, seed, steps)
    return score_model(model, data.val_tokens, data.tokenizer).loss
