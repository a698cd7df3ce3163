"""Loads one model, or several as one that averages their probabilities."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformer.models.base import TokenModel
from transformer.models.ensemble import Ensemble
from transformer.storage.model_file import load_model
from transformer.storage.saved_model import SavedModel
from transformer.system.errors import UserError

# Of a config: how a text is read and split.
_SPLITS = ("data_path", "val_fraction", "test_fraction", "val_path", "test_path")


def load_models(paths: Sequence[Path]) -> SavedModel:
    """The model at a path, or an `Ensemble` of the models at several.

    Raises: UserError as `load_model`, and as `averaged`.
    """
    saved = [load_model(path) for path in paths]
    return averaged(saved) if len(saved) > 1 else saved[0]


def averaged(saved: Sequence[SavedModel]) -> SavedModel:
    """As one model, named by all paths. Its config is what all agree on.

    It has training data if all were trained on the same, split alike.

    Raises: UserError for an encoder-decoder, and for different tokenizers; it names both models.
    """
    first = saved[0]
    models = [_text_model(one) for one in saved]
    for other in saved[1:]:
        if other.tokenizer.state != first.tokenizer.state:
            raise UserError(
                f"{first.path} has a tokenizer of {_size(first)}, but {other.path} has another, of "
                f"{_size(other)}: only models of one tokenizer can be averaged"
            )
    config = _agreed([one.config for one in saved])
    same_data = all(
        one.corpus == first.corpus
        and all(one.config.get(key) == first.config.get(key) for key in _SPLITS)
        for one in saved
    )
    model = Ensemble(models)
    path = Path(" + ".join(str(one.path) for one in saved))  # for people
    corpus = first.corpus if same_data else {}
    return SavedModel(path, model, first.tokenizer, model.architecture, config, corpus, {})


def _text_model(saved: SavedModel) -> TokenModel:
    if not isinstance(saved.model, TokenModel):
        kind = saved.architecture["model"]
        raise UserError(
            f"{saved.path}: is an {kind}, and only models of texts can be averaged: name it alone"
        )
    return saved.model


def _size(saved: SavedModel) -> str:
    return f"{saved.tokenizer.sizes['vocab_size']:,} {saved.tokenizer.units}"


def _agreed(configs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    first, *others = configs
    return {
        key: value
        for key, value in first.items()
        if all(key in other and other[key] == value for other in others)
    }
