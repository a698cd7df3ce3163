"""What a page tells about its model: size, loss, data, the command, and the curve of its run."""

import math
from pathlib import Path, PurePath
from typing import Any

from transformer.config.told_keys import last_name, told_keys
from transformer.data.prompts import prompt_of
from transformer.data.sources.settings import listed
from transformer.data.tokenizers.base import Tokenizer
from transformer.storage.curves import TRAIN_LOSS, VAL_LOSS, read_curves
from transformer.storage.events import Point
from transformer.storage.run_folder import CONFIG, WEIGHTS, run_of
from transformer.storage.saved_model import SavedModel
from transformer.system.errors import UserError
from transformer.system.shell import flag, quoted

_MOST_POINTS = 500  # of a curve: more are no wider than a pixel
_DIGITS = 4


def name_of(saved: SavedModel) -> str:
    """That of its run or its data, or of the folder of a model of another program."""
    if run_name := saved.config.get("run_name"):
        return str(run_name)
    if "data_path" in saved.config:
        return PurePath(last_name(listed(saved.config["data_path"])[0])).stem
    return saved.path.absolute().name


def facts_of(saved: SavedModel, prompt: str | None) -> dict[str, Any]:
    """What is not known is left out, and so is what differs between two exports of one model."""
    config, results = saved.config, saved.results
    facts: dict[str, Any] = {
        "num_parameters": saved.model.num_parameters,
        "steps": results.get("best_step"),
        "val_loss": results.get("val_loss"),
    }
    if "data_path" in config:
        facts["corpus"] = ", ".join(map(last_name, listed(config["data_path"])))
        facts["num_characters"] = saved.corpus.get("num_characters")
    if keys := told_keys(config):
        facts["command"] = "python train.py" + "".join(map(_flag, keys, keys.values()))
    if prompt is None and isinstance(saved.tokenizer, Tokenizer):
        prompt = prompt_of(config, saved.tokenizer)
    facts["prompt"] = prompt
    return {name: value for name, value in facts.items() if _is_known(value)}


def _is_known(value: Any) -> bool:
    return value is not None and (not isinstance(value, float) or math.isfinite(value))


def _flag(key: str, value: Any) -> str:
    if isinstance(value, list):
        return f" --{key} {' '.join(quoted(str(part)) for part in value)}"
    return flag(key, str(value).lower() if value is None or isinstance(value, bool) else str(value))


def run_folder(saved: SavedModel) -> Path | None:
    """The folder of the run that the model is of; None if it stands alone."""
    folder = saved.path.parent if saved.path.name == WEIGHTS.name else run_of(saved.path)
    return folder if (folder / CONFIG).is_file() else None


def curve_of(run: Path | None) -> list[list[int | float | None]] | None:
    """[step, train_loss, val_loss] by step, with None where one was not logged."""
    if run is None:
        return None
    try:
        curves = read_curves(run)
    except UserError:  # a run without events, or with damaged ones
        return None
    rows: dict[int, list[int | float | None]] = {}
    for place, name in enumerate((TRAIN_LOSS, VAL_LOSS), start=1):
        for point in _thinned(curves.get(name, [])):
            row = rows.setdefault(point.step, [point.step, None, None])
            row[place] = round(point.value, _DIGITS) if math.isfinite(point.value) else None
    return [rows[step] for step in sorted(rows)] or None


def _thinned(points: list[Point]) -> list[Point]:
    """At most about `_MOST_POINTS`, evenly spaced, with the last."""
    every = max(1, -(-len(points) // _MOST_POINTS))
    return points[(len(points) - 1) % every :: every]
