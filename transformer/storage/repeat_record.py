"""repeat.json in a run's folder: what the run was trained with. No torch.

With config.yaml it is what repeating a run needs. A run has one part, and another one from each
step at which it was resumed with something else.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from transformer.storage.damage import what_is_wrong
from transformer.system.errors import UserError
from transformer.system.files import read_utf8

RECORD = Path("repeat.json")
_WAY_OUT = "delete it to repeat the run without what it says"


@dataclass(frozen=True, kw_only=True)
class Part:
    """What a run was trained with from a step on.

    `commit` ends with a plus if the program had changes that were not committed. `changed` are the
    settings that differ from the part before: their old and new values. None is unknown.
    """

    from_step: int = 0
    command: Sequence[str] | None = None  # None for a run that a program has started
    commit: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    processor: str | None = None
    num_threads: int | None = None
    devices: Sequence[str] = ()
    start_from_sha256: str | None = None  # of the weights that the run began with
    changed: Mapping[str, Sequence[Any]] = field(default_factory=dict)


_PLACES = ("from_step", "command")  # they say when and how, but not with what


def with_part(parts: Sequence[Part], new: Part) -> list[Part]:
    """The parts with a new one, unless it brings nothing new.

    What is recorded from its step on was not kept: the run goes on from an earlier checkpoint.
    """
    kept = [part for part in parts if part.from_step < new.from_step]
    if not kept:
        return [new]
    new = replace(new, start_from_sha256=kept[-1].start_from_sha256)
    same = {name: getattr(new, name) for name in _PLACES} | {"changed": {}}
    return kept if replace(kept[-1], **same) == new else [*kept, new]


def as_json(parts: Sequence[Part]) -> str:
    return json.dumps({"parts": [asdict(part) for part in parts]}, indent=2) + "\n"


def read_parts(run: Path) -> list[Part]:
    """Empty for a run of an older version.

    Raises: UserError for a file that is damaged.
    """
    path = run / RECORD
    if not path.is_file():
        return []
    try:
        return [_read(part) for part in json.loads(read_utf8(path, "record"))["parts"]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{path}: damaged: {what_is_wrong(error)}; {_WAY_OUT}") from None


_KINDS: dict[str, Any] = {
    "from_step": int,
    "command": list | None,
    "commit": str | None,
    "versions": dict,
    "processor": str | None,
    "num_threads": int | None,
    "devices": list,
    "start_from_sha256": str | None,
    "changed": dict,
}


def _read(values: Any) -> Part:
    """Leaves out what a newer version may have added."""
    known = {each.name: values[each.name] for each in fields(Part) if each.name in values}
    for name, value in known.items():
        if not isinstance(value, _KINDS[name]):
            raise ValueError(f"{name} is {value!r}")
    for name, pair in known.get("changed", {}).items():
        if not (isinstance(pair, list) and len(pair) == 2):
            raise ValueError(f"the change of {name} is {pair!r}")
    return Part(**known)


# Keys that change nothing of what a run computes. Where the data and the base are is among them:
# what they hold is compared.
WITHOUT_EFFECT = (
    *("runs_dir", "run_name", "cache_dir", "checkpoint_every_minutes", "num_workers"),
    *("data_path", "start_from", "logger"),
)


def changed_settings(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The old and new values of the settings that differ, where they have an effect."""
    return {
        key: [before.get(key), value]
        for key, value in after.items()
        if before and before.get(key) != value and key not in WITHOUT_EFFECT
    }
