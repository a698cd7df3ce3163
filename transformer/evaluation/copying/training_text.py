"""Finds the corpus in which the text of a model is looked up. Imports no torch."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from transformer.data.placed_texts import PlacedTexts, placed_texts
from transformer.data.sources.settings import in_words
from transformer.data.text.documents import TRAIN
from transformer.data.tokenizer_choice import TokenizerChoice
from transformer.evaluation.own_data import recorded_path, settings_of
from transformer.system.errors import UserError

if TYPE_CHECKING:
    from transformer.storage.model_file import SavedModel

_DIGITS = 12  # of a sha256, in messages


@dataclass(frozen=True)
class TrainingText:
    """A corpus, split as the model's keys say; `comparison` if it is not the model's own."""

    name: str
    texts: PlacedTexts
    comparison: str | None = None

    def check_length(self, least: int) -> None:
        """Raises: UserError if no document of the training split is so long."""
        if not any(len(one.text) >= least for one in self.texts.texts(TRAIN)):
            raise UserError(
                f"{self.name}: no text of its training split has `min_copied={least}` characters: "
                "give a smaller number, or a longer text"
            )


def find_training_text(
    saved: "SavedModel", data_path: Any = None, cache_dir: str | None = None
) -> TrainingText:
    """The corpus at a path, or else the model's own, which must be as it was. Nothing is built.

    Raises: UserError if it is missing, cannot be read, or, without a path, has changed.
    """
    path = recorded_path(saved) if data_path is None else data_path
    choice = TokenizerChoice(
        tokenizer="the model's",
        recall=lambda: saved.tokenizer,
        cache_dir=cache_dir or saved.config.get("cache_dir"),
    )
    name, texts = in_words(path), placed_texts(path, settings_of(saved), choice)
    found, wanted = texts.sha256, saved.corpus.get("sha256")
    if found == wanted:
        return TrainingText(name, texts)
    compared = f"its sha256 is {found[:_DIGITS]}, that of the training data {str(wanted)[:_DIGITS]}"
    if data_path is None:
        raise UserError(
            f"{name}: is not the training data of {saved.path}: {compared}: restore it, or give "
            "its path with `data_path` to search it as it is"
        )
    return TrainingText(name, texts, f"not the data that the model was trained on: {compared}")
