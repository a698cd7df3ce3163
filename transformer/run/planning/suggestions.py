"""What training for some minutes would bring: the size of the model, its loss, and the command."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tabulate import tabulate

from transformer.config.drafts import Draft
from transformer.data.sources.settings import listed
from transformer.run.planning.planned import make_planner
from transformer.run.planning.race import entries_of
from transformer.system.shell import flag, quoted

MINUTES = (10, 60)
UNKNOWN = "the law that predicts a loss was fitted to characters, not to other tokens\n"


@dataclass(frozen=True)
class Suggestion:
    minutes: int
    sizes: Mapping[str, Any]
    steps: int
    bits_per_byte: float | None  # None: nothing predicts it
    command: str

    @property
    def facts(self) -> dict[str, Any]:
        rest = {"steps": self.steps, "bits_per_byte": self.bits_per_byte, "command": self.command}
        return {"minutes": self.minutes, **self.sizes, **rest}


def suggestions(draft: Draft, data_path: Any, flags: Mapping[str, Any]) -> list[Suggestion]:
    """For each of MINUTES; a pilot is trained and steps are timed, unless that is remembered.

    `flags` are those that were given beside the data_path.

    Raises: UserError for a text that no plan is for.
    """
    planner = make_planner(draft, timed=True)
    words = " ".join(quoted(Path(path)) for path in listed(data_path))
    given = "".join(_flag(name, value) for name, value in flags.items())
    found = []
    for minutes in MINUTES:
        config, plan, *_ = entries_of(planner, float(minutes))[0]
        sizes = {"tokenizer": config.tokenizer, **plan.size.keys}
        sizes["block_size"] = config.block_size
        bits = planner.bits_per_byte(plan)
        command = f"python train.py --data_path {words}{given} --max_minutes {minutes}"
        found.append(Suggestion(minutes, sizes, plan.steps, bits, command))
    return found


def _flag(name: str, value: Any) -> str:
    if isinstance(value, list):
        return f" --{name} {' '.join(quoted(str(one)) for one in value)}"
    return flag(name, "none" if value is None else str(value))


def as_table(found: Sequence[Suggestion]) -> str:
    rows = [
        {"minutes": each.minutes, **each.sizes, "steps": f"{each.steps:,}"}
        | {"bits per byte": f"{each.bits_per_byte:.2f}" if each.bits_per_byte else "not known"}
        for each in found
    ]
    table = tabulate(rows, "keys", disable_numparse=True)
    commands = "\n".join(f"  {each.command}" for each in found)
    note = "" if all(each.bits_per_byte for each in found) else UNKNOWN
    return f"training on this machine would bring about:\n{table}\n{note}{commands}"
