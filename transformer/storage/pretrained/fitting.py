"""Which class of another program computes exactly what a model of ours computes. No torch."""

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

from transformer.models.families.base import Family
from transformer.models.families.gpt import GPTSettings
from transformer.storage.pretrained.families.base import PretrainedFamily
from transformer.storage.pretrained.families.registry import FAMILIES
from transformer.storage.pretrained.places import CONFIG
from transformer.storage.pretrained.values import Values
from transformer.system.errors import UserError

RECIPE = "configs/default.yaml"
_DEFAULTS = {part: field.default for part, field in GPTSettings.__dataclass_fields__.items()}


class Fitted(NamedTuple):
    """A class with the values of its config.json, and the settings that are read from these."""

    family: type[PretrainedFamily]
    values: Values
    settings: GPTSettings


def fitted(family: type[PretrainedFamily], settings: GPTSettings) -> Fitted:
    """Raises: ValueError for sizes that the class cannot have."""
    values = Values(Path(CONFIG), family.config(settings))
    return Fitted(family, values, family.settings(values))


def fitted_class(settings: Family) -> Fitted:
    """The class that computes exactly what a model with these settings computes.

    Raises: UserError if there is none; it names the settings that the nearest class has not.
    """
    if not isinstance(settings, GPTSettings):
        raise UserError(
            f"model {settings.name}: no class of transformers computes exactly what it does: only "
            f"a gpt can go there, such as the one of {RECIPE}"
        )
    fits = list(_fits(settings))
    found, wrong = min(fits, key=lambda fit: len(fit[1]))
    if wrong:
        has = asdict(found.settings)
        raise UserError(
            f"no class of transformers computes exactly what this model does: "
            f"{_listed({name: getattr(settings, name) for name in wrong})} (the nearest, "
            f"{found.family.name}, has {_listed({name: has[name] for name in wrong})}); "
            f"{RECIPE} is a recipe that exports"
        )
    return found


def _fits(settings: GPTSettings) -> Iterator[tuple[Fitted, list[str]]]:
    """Each class that can have the sizes, with the names of settings that are others there."""
    for family in FAMILIES.values():
        try:
            fit = fitted(family, settings)
        except ValueError:
            continue
        ours, theirs = asdict(_plain(settings)), asdict(_plain(fit.settings))
        if family.has_biases:  # of zero, where ours has none
            ours["bias"] = True
        yield fit, [name for name, value in ours.items() if value != theirs[name]]


def _plain(settings: GPTSettings) -> GPTSettings:
    """The settings with the defaults of those that change nothing in what is computed."""
    idle = ["dropout"]
    if settings.ngram_size == 1:
        idle += ["ngram_buckets", "ngram_vocab_size"]
    if settings.positions != "sinusoidal":
        idle += ["position_gain"]
    return replace(settings, **{name: _DEFAULTS[name] for name in idle})


def _listed(values: dict[str, Any]) -> str:
    """`positions "none", bias true`."""
    return ", ".join(f"{name} {json.dumps(value).strip(chr(34))}" for name, value in values.items())
