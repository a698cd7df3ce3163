"""Reads what follows --vary and --try. No torch."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import create_model

from transformer.config.compared_keys import SCORED_KEYS
from transformer.config.files import Setting, check, leaves, unknown_name
from transformer.config.keys import Config
from transformer.config.scalars import number
from transformer.sweep.space import Choice, Range, Space
from transformer.system.errors import UserError

_RANGE = re.compile(r"(?P<low>[^,]*?)\.\.(?P<high>[^,:]*)(?P<log>:log)?")
_NEXT_CHANGE = re.compile(r"\+(?=[a-z]\w*=)")
_OTHER_TEXT = "the runs would be scored on different texts: make a sweep for each value"
_ONE_DEVICE = "each run of a sweep has one device; --gpus 0,1 trains one run on each"
# Keys that no sweep can vary, and why.
FIXED = {
    "seed": "--seeds N trains every combination with N seeds",
    "runs_dir": "the runs are in the folder of the sweep: give --sweeps_dir and --name",
    "run_name": "a run has the name of its settings",
    "cache_dir": "it changes no result",
    "start_from": "the other keys come from that model: make a sweep for each model",
    "data_weights": "a comma parts its own numbers: make a sweep for each",
    **dict.fromkeys(("devices", "num_nodes", "strategy"), _ONE_DEVICE),
    **dict.fromkeys(SCORED_KEYS, _OTHER_TEXT),
}


def read_space(texts: Sequence[str]) -> Space:
    """The values of each key, from texts such as `lr=1e-3,1e-2` and `dropout=0..0.3`.

    Raises: UserError for a key that cannot be varied, and for a value that the key cannot have.
    """
    space: Space = {}
    for text in texts:
        key, values = _parted(text, "--vary", "KEY=VALUE,VALUE or KEY=LOW..HIGH")
        if key in space:
            raise UserError(f"--vary {key}: given twice; give all its values at once")
        space[key] = _range(key, values) or _choice(key, values)
    return space


def read_changes(texts: Sequence[str], base: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    """The changes of the config `base`, from texts such as `dropout=0` and `a=1+b=2`.

    Raises: UserError as `read_space`, and for a change that changes nothing, or is given twice.
    """
    found: list[dict[str, Any]] = []
    for text in texts:
        change: dict[str, Any] = {}
        for part in _NEXT_CHANGE.split(text):
            key, value = _parted(part, "--try", "KEY=VALUE or KEY=VALUE+KEY=VALUE")
            if key in change:
                raise UserError(f"--try {text}: {key} is given twice")
            change[key] = typed(key, value, "--try")
        if all(key in base and base[key] == value for key, value in change.items()):
            raise UserError(f"--try {text}: the config is so already; leave it out")
        if change in found:
            raise UserError(f"--try {text}: given twice")
        found.append(change)
    return tuple(found)


def typed(key: str, text: str, flag: str) -> Any:
    """The value of a key that a text stands for. Raises: UserError if the key cannot have it."""
    field = Config.model_fields[key]
    fields: dict[str, Any] = {key: (field.annotation, field)}
    one = create_model("One", __config__=Config.model_config, **fields)
    return getattr(check(one, {key: Setting(text, flag, text)}, flag), key)


def _parted(text: str, flag: str, form: str) -> tuple[str, str]:
    key, equals, values = text.partition("=")
    if not equals:
        raise UserError(f"{flag} {text}: write {form}")
    if key not in Config.model_fields:
        raise UserError(f"{flag}: {unknown_name('key', key, Config.model_fields)}")
    if key in FIXED:
        raise UserError(f"{flag} {key}: cannot be varied: {FIXED[key]}")
    return key, values


def _range(key: str, text: str) -> Range | None:
    """None if the text is no range, or the key has no numbers."""
    kinds = leaves(Config.model_fields[key].annotation)
    match = _RANGE.fullmatch(text)
    if match is None or not {int, float} & {*kinds}:
        return None
    given = f"--vary {key}={text}"
    for end in (match["low"], match["high"]):
        if number(end) is None or not math.isfinite(number(end) or 0):
            raise UserError(f"{given}: a range needs two numbers, and {end!r} is none")
    low, high = (typed(key, match[end], "--vary") for end in ("low", "high"))
    if not low < high:
        raise UserError(f"{given}: {low:g} must be below {high:g}")
    if match["log"] and low <= 0:
        raise UserError(f"{given}: there is no logarithm of {low:g}; begin above 0")
    return Range(low, high, log=bool(match["log"]), whole=float not in kinds)


def _choice(key: str, text: str) -> Choice:
    values = [typed(key, value, "--vary") for value in text.split(",")]
    twice = [value for place, value in enumerate(values) if value in values[:place]]
    if twice:
        raise UserError(f"--vary {key}={text}: {twice[0]} is given twice")
    if len(values) == 1:
        raise UserError(
            f"--vary {key}={text}: one value is nothing to compare: give several, or --{key} for "
            "all runs"
        )
    return Choice(tuple(values))
