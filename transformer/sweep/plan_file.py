"""sweep.yaml: the plan of a sweep as a file, and how two plans differ. No torch."""

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from transformer.config.scalars import CoreLoader, QuotingDumper
from transformer.sweep.plan import Plan
from transformer.sweep.plan_reading import plan_of
from transformer.sweep.planning import check_trials
from transformer.system.errors import UserError
from transformer.system.files import read_utf8, write_text

PLAN = Path("sweep.yaml")
_FORMAT = 1
# How many runs train at a time may change at any time: the runs' own shares stay as they were.
_FREE = ("processes", "measured")
_WAY_OUT = "correct it, or start another sweep with `name`"


def save(plan: Plan, path: Path) -> None:
    values = {field.name: getattr(plan, field.name) for field in fields(plan)}
    values["space"] = {key: each.plain() for key, each in plan.space.items()}
    values["changes"] = [dict(change) for change in plan.changes]
    values |= {"base": dict(plan.base), "measured": dict(plan.measured)}
    options = {"sort_keys": False, "allow_unicode": True, "width": 1000}
    write_text(path, yaml.dump({"format": _FORMAT, **values}, Dumper=QuotingDumper, **options))


def load(path: Path) -> Plan:
    """Raises: UserError for a file that cannot be read, is damaged, or is not of this version."""
    values = _yaml(path)
    found = values.pop("format", "not given")
    if found != _FORMAT:
        raise UserError(
            f"{path}: its format is {found}, and this version reads {_FORMAT}: start another "
            "sweep with `name`"
        )
    try:
        plan = plan_of(values, f"{path}: damaged")
    except UserError as error:
        raise UserError(f"{error}; {_WAY_OUT}") from None
    try:
        check_trials(plan)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    return plan


def _yaml(path: Path) -> dict[str, Any]:
    try:
        values = yaml.load(read_utf8(path, "sweep.yaml"), Loader=CoreLoader)
    except UserError:
        raise
    except (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise UserError(f"{path}{line}: damaged: not valid YAML; {_WAY_OUT}") from None
    except RecursionError:
        raise UserError(f"{path}: damaged: nested too deeply; {_WAY_OUT}") from None
    if not isinstance(values, dict):
        what = "empty" if values is None else "not `key: value` lines"
        raise UserError(f"{path}: damaged: it is {what}; {_WAY_OUT}")
    return {str(key): value for key, value in values.items()}


def check_same(plan: Plan, saved: Plan, folder: Path) -> None:
    """Raises: UserError with what differs, if a folder has another sweep."""
    if found := list(_differences(saved, plan)):
        raise UserError(
            f"{folder}: holds another sweep ({'; '.join(found[:3])}"
            f"{'; ...' if len(found) > 3 else ''}): give another `name`, or delete the folder"
        )


def _differences(saved: Plan, plan: Plan) -> Iterator[str]:
    for name in (field.name for field in fields(plan) if field.name not in _FREE):
        was, now = getattr(saved, name), getattr(plan, name)
        if name in ("base", "space"):
            for key in dict.fromkeys([*was, *now]):
                if was.get(key) != now.get(key):
                    yield f"{key} {_shown(was.get(key))} there, {_shown(now.get(key))} here"
            if name == "space" and list(was) != list(now) and was == now:
                yield f"{', '.join(was)} there, {', '.join(now)} here"
        elif was != now:
            yield f"{_WORDS.get(name, name)} {_shown(was)} there, {_shown(now)} here"


_WORDS = {"changes": "try"}


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        changes = ["+".join(f"{key}={each[key]}" for key in each) for each in value]
        return " ".join(changes) or "nothing"
    return str(value)
