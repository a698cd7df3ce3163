"""Flags of train.py that do not go together, or that this machine cannot serve.

No torch, unless a device is asked for.
"""

import argparse
from collections.abc import Iterable, Mapping
from typing import Any

from transformer.config.keys import Config
from transformer.models.families.base import TransformerSettings
from transformer.storage.repeat_record import WITHOUT_EFFECT
from transformer.system.errors import UserError
from transformer.system.packages import check_installed


def check_resume_flags(arguments: argparse.Namespace, flags: Mapping[str, Any]) -> None:
    """Raises: UserError for what a run that goes on already has."""
    if arguments.plan:
        raise UserError("--plan is for a new run: leave out --resume")
    if arguments.verify_resume:
        raise UserError("--verify_resume makes its own runs: leave out --resume")
    if arguments.config:
        raise UserError("--config does not go with --resume: a run uses its own config.yaml")
    if "start_from" in flags:
        raise UserError("--start_from does not go with --resume: the run has its own weights")
    if "run_name" in flags:
        raise UserError("--run_name does not go with --resume: a run goes on in its own folder")
    if "runs_dir" in flags and arguments.resume:
        raise UserError(
            f"--runs_dir does not go with --resume {arguments.resume}: a run goes on in its own "
            "folder; leave out one of them"
        )


def check_repeat_flags(
    arguments: argparse.Namespace, flags: Mapping[str, Any], switches: Iterable[str]
) -> None:
    """Raises: UserError for every flag that could make another run of the repeated one."""
    others = [name for name in ("config", "resume") if getattr(arguments, name) is not None]
    others += [name for name in switches if getattr(arguments, name)]
    others += [name for name in flags if name not in WITHOUT_EFFECT]
    if others:
        named = ", ".join(f"--{name}" for name in others)
        may_be = ", ".join(f"--{name}" for name in WITHOUT_EFFECT)
        raise UserError(
            f"{named} does not go with --repeat, which trains a run again as it was: leave it out; "
            f"{may_be} may be given"
        )


_PACKAGES = {"wandb": "wandb"}  # of loggers


def check_logger(logger: str) -> None:
    """Raises: UserError if the package of a config's `logger` is not installed."""
    package = _PACKAGES.get(logger)
    if package is not None:
        way_out = f"pip install -r requirements-{package}.txt"
        check_installed(f"`logger={logger}`", (package,), way_out)


# The keys that `check_machine` looks at.
MACHINE_KEYS = ("logger", "model", "optimizer", "polar", "accelerator", "precision")


def check_machine(config: Config) -> None:
    """What `train` refuses only after it has read the text, found without it.

    Raises: UserError for a package or a device that is missing here, and for what the device cannot
    compute.
    """
    check_logger(config.logger)
    has_muon = config.optimizer == "muon" and issubclass(config.family, TransformerSettings)
    polar = config.polar if has_muon else "auto"
    if (
        config.accelerator not in ("auto", "cpu")
        or config.precision == "fp16"
        or polar == "zolotarev"
    ):
        from transformer.system.devices import resolve_accelerator
        from transformer.training.hardware import check_polar, check_precision

        accelerator = resolve_accelerator(config.accelerator)
        check_precision(config.precision, accelerator)
        check_polar(polar, config.precision, accelerator)
