"""One training run of a sweep, and what came of it. No torch."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformer.config.scalars import kind_of

_LONGEST = 80  # characters of a name: short enough to be read in a column
_UNSAFE = re.compile(r"[^a-z0-9._+-]+")


@dataclass(frozen=True)
class Trial:
    """What one run trains with, beside the sweep's own config.

    `settings` are the changed keys with their values, in the order in which the sweep names them.
    `limit` is empty, `{"max_minutes": 1.5}` or `{"max_steps": 267}`. `name` is the run's run_name,
    which no other trial of the sweep has.
    """

    settings: Mapping[str, Any]
    seed: int
    limit: Mapping[str, Any]
    name: str


@dataclass(frozen=True)
class Result:
    """The end of a trial; `loss` is None if it failed, and then `error` says why.

    `run` is the run's folder, if there is one. `summary` is its summary.json, empty without one.
    Of two losses, the lower is better.
    """

    trial: Trial
    run: Path | None
    loss: float | None
    summary: Mapping[str, Any]
    error: str | None


def name_of(settings: Mapping[str, Any], seed: int, prefix: str = "") -> str:
    """A short name that every file system takes, such as `lr-0.01_dropout-0.1_seed-0`.

    If a value has other characters than these, is a text that looks like another value (`null`), or
    the name would be long, a hash of the settings tells two trials apart.
    """
    words = [f"{key}-{_text(value)}" for key, value in settings.items()]
    plain = prefix + "_".join(words)
    safe = _UNSAFE.sub("-", plain.lower())
    looks_else = any(isinstance(one, str) and kind_of(one) != "str" for one in settings.values())
    if safe != plain or looks_else or len(safe) > _LONGEST:
        known = json.dumps(dict(settings), sort_keys=True).encode()
        safe = f"{safe[:_LONGEST].rstrip('._-')}_{hashlib.sha256(known).hexdigest()[:8]}"
    return "_".join(filter(None, (safe, f"seed-{seed}")))


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)


def in_words(settings: Mapping[str, Any]) -> str:
    """`lr 0.01, dropout 0`, for a person; `the config` if nothing is changed."""
    return ", ".join(f"{key} {_text(value)}" for key, value in settings.items()) or "the config"
