"""The config of a run, as its folder has it. Imports no torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformer.config.files import load_config
from transformer.config.keys import Config

# What runs did before these keys existed, where the default is another way today.
BEFORE_THE_KEY = {"polar": "newton_schulz"}


def load_run_config(path: Path, flags: Mapping[str, Any] | None = None) -> Config:
    """Like `load_config`, of the same text; what the file lacks is as it was in older runs."""
    config = load_config(path, flags, same_text=True)
    older = BEFORE_THE_KEY.keys() - config.model_fields_set
    return config.model_copy(update={key: BEFORE_THE_KEY[key] for key in older})
