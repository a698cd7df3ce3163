"""The keys of a run as others may read them. Imports no torch."""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from transformer.config.keys import Config

# Paths may tell where and by whom a model was made: of these, the last names alone are told.
_PATHS = ("data_path", "val_path", "test_path", "start_from", "old_data_path", "tokenizer")
_OF_THE_MACHINE = ("runs_dir", "cache_dir", "num_threads", "accelerator", "devices", "num_nodes")


def told_keys(config: Mapping[str, Any]) -> dict[str, Any]:
    """The keys that differ from their defaults: with them, `train.py` trains the model anew."""
    fields = Config.model_fields
    return {
        key: [*map(last_name, value)]
        if isinstance(value, list)
        else last_name(value)
        if key in _PATHS
        else value
        for key, value in config.items()
        if key in fields
        and key not in _OF_THE_MACHINE
        and (fields[key].is_required() or value != fields[key].default)
    }


def last_name(path: Any) -> Any:
    """A path without the folders above it; what is not a text stays as it is."""
    return PurePath(path).name if isinstance(path, str) else path
