"""Reads what follows --vary and --try, and checks it. No torch."""

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

_RANGE = re.compile(r"(?P<low>[^,]*?)\.\.(?P<high>[^,:]*)(?P<scale>:[^,]*)?")
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
            change[key] = _changed(key, value)
        check_change(change, found, base, f"--try {text}")
        found.append(change)
    return tuple(found)


def check_key(key: str, origin: str) -> None:
    """Raises: UserError for a name that is no key, and for a key that no sweep can vary."""
    if key not in Config.model_fields:
        raise UserError(f"{origin}: {unknown_name('key', key, Config.model_fields)}")
    if key in FIXED:
        raise UserError(f"{origin} {key}: cannot be varied: {FIXED[key]}")


def typed(key: str, setting: Setting) -> Any:
    """The value of a key that a setting stands for. Raises: UserError if the key cannot have it."""
    field = Config.model_fields[key]
    fields: dict[str, Any] = {key: (field.annotation, field)}
    one = create_model("One", __config__=Config.model_config, **fields)
    return getattr(check(one, {key: setting}, setting.origin), key)


def choice_of(key: str, settings: Sequence[Setting], given: str) -> Choice:
    """`given` names the values in errors. Raises: UserError for values that are no choice."""
    values = [typed(key, setting) for setting in settings]
    twice = [value for place, value in enumerate(values) if value in values[:place]]
    if twice:
        raise UserError(f"{given}: {twice[0]} is given twice")
    if len(values) < 2:
        number = "one value" if values else "no value"
        raise UserError(
            f"{given}: {number} is nothing to compare: give several, or --{key} for all runs"
        )
    return Choice(tuple(values))


def range_of(key: str, ends: Sequence[Setting], given: str, *, log: bool) -> Range:
    """From the first to the second of the `ends`. Raises: UserError for what is no range."""
    kinds = leaves(Config.model_fields[key].annotation)
    if not {int, float} & {*kinds}:
        raise UserError(f"{given}: a range needs a key with numbers: give several values")
    for end in ends:
        if not _is_finite(end.value):
            raise UserError(f"{given}: a range needs two numbers, and {end.value!r} is none")
    low, high = (typed(key, end) for end in ends)
    if low == high:
        raise UserError(f"{given}: both ends are {low:g}: give --{key} {low:g} for all runs")
    if low > high:
        raise UserError(f"{given}: {low:g} must be below {high:g}")
    if log and low <= 0:
        raise UserError(f"{given}: there is no logarithm of {low:g}; begin above 0")
    return Range(low, high, log=log, whole=float not in kinds)


def check_change(
    change: Mapping[str, Any],
    others: Sequence[Mapping[str, Any]],
    base: Mapping[str, Any],
    given: str,
) -> None:
    """Raises: UserError for a change that changes nothing, or that is among the `others`."""
    if all(key in base and base[key] == value for key, value in change.items()):
        raise UserError(f"{given}: the config is so already; leave it out")
    if change in others:
        raise UserError(f"{given}: given twice")


def _is_finite(value: Any) -> bool:
    found = number(value) if isinstance(value, str) else value
    try:
        return isinstance(found, int | float) and found is not True and math.isfinite(found)
    except OverflowError:  # an integer beyond all floats
        return False


def _parted(text: str, flag: str, form: str) -> tuple[str, str]:
    key, equals, values = text.partition("=")
    if not equals:
        raise UserError(f"{flag} {text}: write {form}")
    if not key:
        raise UserError(f"{flag} {text}: no key stands before the equals sign: write {form}")
    check_key(key, flag)
    return key, values


def _range(key: str, text: str) -> Range | None:
    """None if the text is no range, or the key has no numbers."""
    match = _RANGE.fullmatch(text)
    if match is None or not {int, float} & {*leaves(Config.model_fields[key].annotation)}:
        return None
    given = f"--vary {key}={text}"
    if match["scale"] not in (None, ":log"):
        raise UserError(
            f"{given}: after a range stands :log or nothing, got {match['scale']!r}: without "
            ":log, the numbers are spread evenly"
        )
    ends = [Setting(match[end], "--vary", match[end]) for end in ("low", "high")]
    return range_of(key, ends, given, log=match["scale"] is not None)


def _choice(key: str, text: str) -> Choice:
    given = f"--vary {key}={text}"
    values = text.split(",")
    if "" in values and str not in leaves(Config.model_fields[key].annotation):
        where = "after the equals sign" if values == [""] else "beside a comma"
        raise UserError(
            f"{given}: no value stands {where}: write the values with one comma between "
            f"two, and without spaces, such as {key}=A,B"
        )
    return choice_of(key, [Setting(value, "--vary", value) for value in values], given)


def _changed(key: str, text: str) -> Any:
    try:
        return typed(key, Setting(text, "--try", text))
    except UserError as error:
        if "," in text or ".." in text:
            raise UserError(f"{error}; to compare several values: --vary {key}={text}") from None
        raise
