"""A config whose sizes are not all given: `auto` stands for what a plan chooses. No torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformer.config.files import (
    Setting,
    check,
    gather,
    is_unset_by,
    planned_keys,
    read_settings,
)
from transformer.config.keys import Config
from transformer.data.tokenizers.registry import PIECE_KEYS
from transformer.system.errors import UserError

_STAND_INS: Mapping[str, Any] = {
    **{"block_size": 16, "batch_size": 1, "lr": 1e-3, "dropout": 0.1, "weight_decay": 0.0},
    **{"max_steps": None, "r_drop": 0.0},
}


@dataclass(frozen=True)
class Draft:
    """The settings of a file and of flags; `auto` are the keys that a plan gives values to."""

    path: str
    settings: Mapping[str, Setting]
    auto: tuple[str, ...]

    def config(self, **values: Any) -> Config:
        """The config with these values for the keys that are auto.

        Raises: UserError for a value out of range, and for values that do not go together.
        """
        chosen = {key: Setting(value, f"the plan's {key}") for key, value in values.items()}
        config = check(Config, {**self.settings, **chosen}, self.path)
        # Of a new run alone: one that has kept them goes on as it was.
        if config.snapshots and not config.family.shows_learning:
            raise UserError(
                f"{self.settings['snapshots'].origin}: snapshots are for a page that shows how a "
                f"model learned, and that of model {config.model} does not: leave out snapshots"
            )
        return config

    def base(self, **values: Any) -> Config:
        """Any config of this draft, for the keys that are given; `values` for some that are auto.

        Raises: UserError for a given value that no plan can have.
        """
        num_heads = self.number("num_heads") or self.number("num_kv_heads") or 1
        width = self.number("embedding_dim") or 32 * num_heads
        sizes = {"embedding_dim": width, "num_heads": num_heads, "num_blocks": 2}
        tokenizer = "bpe" if self.given(*PIECE_KEYS) else "characters"
        known = {**_STAND_INS, "tokenizer": tokenizer, **sizes, **values}
        return self.config(**{key: value for key, value in known.items() if key in self.auto})

    def number(self, key: str) -> int | None:
        """The given whole number of a key; None if it is auto, or none that is above zero."""
        text = str(self.settings[key].value) if key in self.settings else ""
        return int(text) if text.isascii() and text.isdigit() and int(text) > 0 else None

    def given(self, *keys: str) -> str:
        """The given ones of these keys with their values, in words; empty if all are auto."""
        named = [key for key in keys if key in self.settings and key not in self.auto]
        return " and ".join(f"{key} {self.settings[key].value}" for key in named)


def read_draft(path: str | Path, flags: Mapping[str, Any] | None = None) -> Draft:
    """Raises: UserError as `load_config` does, and if nothing says how long the run may take."""
    settings = gather(path, flags)
    auto = tuple(planned_keys(settings))
    flags = flags or {}
    if auto and flags.get("max_steps") not in (None, "auto") and "max_minutes" not in flags:
        settings["max_minutes"] = Setting(None, "--max_steps")  # the steps take the minutes' place
    if auto and all(_is_open(settings.get(key)) for key in ("max_minutes", "max_steps")):
        raise UserError(
            f"{settings[auto[0]].origin}: {auto[0]}: auto needs to know how long the run may take: "
            "give `max_minutes` or `max_steps`"
        )
    return Draft(str(path), settings, auto)


def _is_open(setting: Setting | None) -> bool:
    return setting is None or setting.value in (None, "none", "auto")


def in_file(path: str | None, key: str) -> Any:
    """The value of a key in a config file, or None; other faults of the file are found later."""
    settings = read_settings(path) if path and Path(path).is_file() else {}
    text = settings[key].value if key in settings else None
    return None if is_unset_by(text, Config.model_fields[key]) else text
