"""What a sweep trains: everything that its trials follow from. No torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from transformer.sweep.space import Space


@dataclass(frozen=True)
class Plan:
    """A sweep as its sweep.yaml keeps it.

    `base` are all keys of the sweep's own config with their values. `search` is the name of a
    class in `searches/`. `space` are the keys after `--vary`, and `changes` the changes after
    `--try`; one of the two is empty, or both if only seeds are compared. `runs` is the number of
    combinations, for searches that need it. `minutes` are those of the whole sweep, in which
    `processes` trials run at a time.
    """

    base: Mapping[str, Any]
    search: str
    space: Space = field(default_factory=dict)
    changes: tuple[Mapping[str, Any], ...] = ()
    seeds: int = 1
    runs: int | None = None
    minutes: float | None = None
    processes: int = 1

    @property
    def seed_numbers(self) -> tuple[int, ...]:
        """The seeds of each combination: the config's own, and those after it."""
        return tuple(range(self.base["seed"], self.base["seed"] + self.seeds))
