"""sweep.yaml: the plan of a sweep as a file, and how two plans differ. No torch."""

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from transformer.config.scalars import CoreLoader, QuotingDumper
from transformer.sweep.plan import Plan
from transformer.sweep.space import Choice, Range
from transformer.system.errors import UserError
from transformer.system.files import read_utf8, write_text

PLAN = Path("sweep.yaml")
_FORMAT = 1
# How many runs train at a time may change at any time: the runs' own shares stay as they were.
_FREE = ("processes", "measured")


def save(plan: Plan, path: Path) -> None:
    values = {field.name: getattr(plan, field.name) for field in fields(plan)}
    values["space"] = {key: each.plain() for key, each in plan.space.items()}
    values["changes"] = [dict(change) for change in plan.changes]
    values |= {"base": dict(plan.base), "measured": dict(plan.measured)}
    options = {"sort_keys": False, "allow_unicode": True, "width": 1000}
    write_text(path, yaml.dump({"format": _FORMAT, **values}, Dumper=QuotingDumper, **options))


def load(path: Path) -> Plan:
    """Raises: UserError for a file that cannot be read, or is not of this version."""
    text = read_utf8(path, "sweep.yaml")
    try:
        values = yaml.load(text, Loader=CoreLoader)
        if (found := values.pop("format")) != _FORMAT:
            raise UserError(
                f"{path}: its format is {found}, and this version reads {_FORMAT}: start another "
                "sweep with `name`"
            )
        values["space"] = {key: _read(each) for key, each in values["space"].items()}
        values["changes"] = tuple(values["changes"])
        return Plan(**values)
    except UserError:
        raise
    except (yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: damaged: {reason}: start another sweep with `name`") from None


def _read(values: Any) -> Choice | Range:
    return Choice(tuple(values)) if isinstance(values, list) else Range(**values)


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
