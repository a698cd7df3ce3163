"""The curves of a run, from its TensorBoard events, and the floor that its corpus sets.

Imports no torch but for the floor.
"""

import json
from os.path import isfile
from pathlib import Path
from typing import NamedTuple

from safetensors import SafetensorError, safe_open

from transformer.data.text.corpus import Corpus, read_corpus
from transformer.data.text.split import recorded_cut
from transformer.storage.events import EVENTS, Curves, read_scalars
from transformer.storage.run_folder import WEIGHTS
from transformer.system.errors import UserError

TRAIN_LOSS = "train_loss"
VAL_LOSS = "val_loss"
ERROR_RATE = "val_word_error_rate"  # of runs on pairs alone


class TrainedOn(NamedTuple):
    """Which text a run was trained on, where it was cut, and what its tokens are."""

    data_path: str
    sha256: str
    val_fraction: float
    num_train_characters: int | None = None  # older files do not say it
    tokenizer: str = "characters"


def read_curves(run: Path) -> Curves:
    """What a run's folder has of losses and error rates.

    A resumed run has a file of events for each start. Of steps that were made twice, as after a
    crash, the later ones count, and their seconds follow on those of the step before: the time
    between two starts is left out.

    Raises: UserError for a folder without any.
    """
    curves: Curves = {}
    for path in sorted(run.glob(EVENTS)):  # their names start with when they were made
        found = read_scalars(path, (TRAIN_LOSS, VAL_LOSS, ERROR_RATE))
        if found:
            first_step = min(points[0].step for points in found.values())
            _follow_on(curves, found, first_step)
    if not curves:
        raise UserError(
            f"{run}: holds no curves ({EVENTS}): name the folder of a run that has logged its "
            "first losses, such as runs/default/version_0"
        )
    return curves


def _follow_on(curves: Curves, found: Curves, first_step: int) -> None:
    """Joins what was found to the curves before, in place."""
    for name, points in curves.items():
        curves[name] = [point for point in points if point.step < first_step]
    before = max((points[-1].seconds for points in curves.values() if points), default=0.0)
    for name, points in found.items():
        later = [point._replace(seconds=point.seconds + before) for point in points]
        curves[name] = curves.get(name, []) + later


def read_trained_on(run: Path) -> TrainedOn:
    """As its model.safetensors has it, which a run writes at its first validation.

    Raises: UserError where that is missing or does not say it.
    """
    path = run / WEIGHTS
    try:
        with safe_open(path, framework="numpy") as file:
            texts = file.metadata()
        config, corpus = json.loads(texts["config"]), json.loads(texts["corpus"])
        return TrainedOn(
            config["data_path"],
            corpus["sha256"],
            config["val_fraction"],
            corpus.get("num_train_characters"),
            config.get("tokenizer", "characters"),
        )
    except (OSError, SafetensorError, TypeError, KeyError, ValueError):
        raise UserError(f"{path}: is missing or does not say what it was trained on") from None


def bigram_floor(trained_on: TrainedOn) -> float:
    """Nats per character of `score_bigram`, trained on the training split, on the validation split.

    Raises: UserError where the corpus is gone or has changed.
    """
    path = trained_on.data_path
    if not isfile(path):
        raise UserError(f"{path}: not here: start from the folder that the run was started in")
    text = read_corpus(path)
    if text.sha256 != trained_on.sha256:
        raise UserError(f"{path}: not the text that the run was trained on, by its sha256")
    from transformer.evaluation.text import score_bigram

    cut = recorded_cut(trained_on._asdict(), len(text.characters), trained_on.val_fraction)
    corpus = Corpus.from_text(text, cut, trained_on.tokenizer)
    return score_bigram(corpus.train, corpus.val, corpus.tokenizer).loss
