"""What a sweep trains: everything that its trials follow from. No torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from transformer.config.compared_keys import TEXT_KEYS
from transformer.config.files import Setting, check
from transformer.config.groups import DATA, foreign_keys, taken
from transformer.config.keys import Config
from transformer.data.tokenizers.registry import PIECE_KEYS
from transformer.models.families.registry import FAMILIES
from transformer.sweep.metric import metric_of
from transformer.sweep.space import Space
from transformer.sweep.trial import in_words

# Each of these ends a run.
LIMITS = ("epochs", "max_steps", "max_minutes")


@dataclass(frozen=True)
class Plan:
    """A sweep as its sweep.yaml keeps it.

    `base` are all keys of the sweep's own config with their values. `search` is the name of a
    class in `searches/`. `space` are the keys after `--vary`, and `changes` the changes after
    `--try`; one of the two is empty, or both if only seeds are compared. `runs` is the number of
    combinations, for searches that need it. `minutes` are those of the whole sweep, in which
    `processes` trials run at a time. `measured` is what was found out before the first run, such
    as the speed of this machine; two plans may differ in it and be the same sweep.
    """

    base: Mapping[str, Any]
    search: str
    space: Space = field(default_factory=dict)
    changes: tuple[Mapping[str, Any], ...] = ()
    seeds: int = 1
    runs: int | None = None
    minutes: float | None = None
    processes: int = 1
    measured: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def seed_numbers(self) -> tuple[int, ...]:
        """The seeds of each combination: the config's own, and those after it."""
        return tuple(range(self.base["seed"], self.base["seed"] + self.seeds))

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys whose values differ between trials."""
        tried = [key for change in self.changes for key in change]
        return tuple(dict.fromkeys([*self.space, *tried]))

    @property
    def metric(self) -> str:
        """The entry of summary.json by which runs are compared; lower is better."""
        return metric_of([self.base["model"]], self.keys)

    @property
    def keys_of_scored_texts(self) -> tuple[str, ...]:
        """The varied keys that let runs be scored on different texts."""
        scored = {*TEXT_KEYS, *(["data_path"] if self.base.get("val_path") is None else [])}
        return tuple(key for key in self.keys if key in scored)

    def config(self, settings: Mapping[str, Any], limit: Mapping[str, Any], **own: Any) -> Config:
        """The config of a run with these settings; `own` are keys such as its seed and name.

        Raises: UserError with the settings if they do not go together.
        """
        values = _base_for(self.base, settings)
        if limit:  # alone, so that all runs end alike
            values |= dict.fromkeys(LIMITS) | dict(limit)
        where = in_words(settings)
        return check(
            Config,
            {key: Setting(value, where) for key, value in {**values, **settings, **own}.items()},
            where,
        )


def _base_for(base: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Without the keys that do not apply to the model, the tokenizer or the text of `settings`."""
    values = {**base, **settings}
    model = values["model"]
    left_out = set(foreign_keys(model)) if model != base["model"] else set()
    if "tokenizer" in settings:
        data = taken(DATA[FAMILIES[model].data], values)
        left_out |= set(PIECE_KEYS) - {*data.used_keys}
    if values["data_path"] != base["data_path"]:
        left_out.add("sample_prompt")
    return {key: value for key, value in base.items() if key not in left_out}
