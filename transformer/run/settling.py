"""Replaces auto in a config by what is faster on this machine."""

import logging
from functools import cache
from typing import Any

import torch

from transformer.config.keys import Config
from transformer.models.families.base import TransformerSettings
from transformer.system.devices import resolve_accelerator
from transformer.system.processes import is_rank_0, launched_sizes
from transformer.training.choices import Chooser
from transformer.training.hardware import check_polar, check_precision

# What is chosen on a machine; the processes of a run must choose the same.
CHOSEN = ("precision", "attention", "polar", "num_threads", "compile")

log = logging.getLogger(__name__)


def settle(config: Config) -> Config:
    """Settles the number format, attention, Muon's matrices and the number of threads; says why.

    From here on, this process computes with the chosen number of threads.

    Raises: UserError for a device that this machine does not have, and for what it cannot do.
    """
    accelerator = resolve_accelerator(config.accelerator)
    check_precision(config.precision, accelerator)
    devices, num_nodes = launched_sizes() or (config.devices, config.num_nodes)
    if accelerator == "cpu" and devices == "auto":
        devices = 1
    chooser = Chooser(
        accelerator=accelerator,
        cache_dir=config.cache_dir,
        num_nodes=num_nodes,
        devices=devices,
        strategy=config.strategy,
    )
    values: dict[str, Any] = {"num_threads": _settle_threads(config, chooser)}
    precision = chooser.precision(config.precision, config.embedding_dim)
    _say("precision", precision)
    values["precision"] = precision.name
    settings = config.family_settings()
    if isinstance(settings, TransformerSettings):
        attention = chooser.attention(
            config.attention,
            heads=settings.num_heads,
            num_kv_heads=settings.num_kv_heads,
            length=settings.block_size,
            head_dim=settings.head_dim,
            dropout=settings.attention_dropout,
            bf16=precision.name == "bf16",
        )
        _say("attention", attention)
        values["attention"] = attention.name
        if config.optimizer == "muon":
            values["polar"] = _settle_polar(config, settings, precision.name, chooser)
    return config.model_copy(update=values)


def _settle_polar(
    config: Config, settings: TransformerSettings, precision: str, chooser: Chooser
) -> str:
    assert settings.feedforward_dim is not None
    check_polar(config.polar, precision, chooser.accelerator)
    polar = chooser.polar(
        config.polar,
        width=settings.embedding_dim,
        feedforward_dim=settings.feedforward_dim,
        bf16=precision == "bf16",
    )
    _say("polar", polar)
    return polar.name


def _settle_threads(config: Config, chooser: Chooser) -> int | str:
    """Stays auto if there is nothing to choose: several processes, or a GPU."""
    if chooser.accelerator != "cpu" or chooser.devices != 1 or chooser.num_nodes != 1:
        if config.num_threads != "auto":
            torch.set_num_threads(config.num_threads)
        return config.num_threads
    torch.set_num_threads(all_threads())
    threads = chooser.num_threads(config.num_threads, config.embedding_dim)
    torch.set_num_threads(int(threads.name))
    _say("num_threads", threads)
    # Measured or not: a resumed run must not choose anew, nor sum in another order with the threads
    # of a larger machine.
    return int(threads.name)


@cache
def all_threads() -> int:
    """As many as torch had before a run of this process chose fewer."""
    return torch.get_num_threads()


def _say(key: str, choice: Any) -> None:
    if choice.why and is_rank_0():
        log.info("%s: %s", key, choice)
