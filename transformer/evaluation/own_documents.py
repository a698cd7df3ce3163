"""Finds the documents a model was trained on, or reads others. Imports no torch."""

from typing import TYPE_CHECKING, Any, NamedTuple

from transformer.data.reading import read_text_corpus
from transformer.data.sources.changes import describe_changed_files
from transformer.data.sources.settings import in_words, listed
from transformer.data.text.collection import Collection
from transformer.data.text.corpus import Corpus
from transformer.data.tokenizer_choice import TokenizerChoice
from transformer.data.tokenizers.base import Tokenizer
from transformer.evaluation.own_data import settings_of
from transformer.system.errors import UserError

if TYPE_CHECKING:
    from transformer.storage.model_file import SavedModel


class FoundDocuments(NamedTuple):
    corpus: Corpus
    is_own: bool
    num_skipped: int = 0  # unknown units


def find_documents(
    saved: "SavedModel", path: Any, *, own: bool, skip: bool = False
) -> FoundDocuments:
    """The corpus at a path, encoded by the model's tokenizer and split as its config says.

    Raises: UserError if it should be the model's `own` and has changed.
    """
    settings = settings_of(saved)
    choice = TokenizerChoice(tokenizer="the model's", recall=lambda: saved.tokenizer)
    if own or listed(path) == listed(saved.config.get("data_path")):
        corpus = read_text_corpus(path, settings, choice, build=False)
        if corpus.sha256 == saved.corpus.get("sha256"):
            return FoundDocuments(corpus, True)
        if own:
            raise UserError(
                f"{in_words(path)}: is not the training data of {saved.path}: "
                f"{describe_changed_files(saved.corpus, corpus.facts)}: restore it, or give "
                "its path as `data_path` to evaluate on all of it"
            )
    others = settings.for_other_data()
    if not skip:
        corpus = read_text_corpus(path, others, choice, build=False)
        return FoundDocuments(corpus, corpus.sha256 == saved.corpus.get("sha256"))
    assert isinstance(saved.tokenizer, Tokenizer)
    read = Collection.read(path, others, choice, build=False)
    known, num_skipped = read.known_to(saved.tokenizer)
    return FoundDocuments(known.corpus(others, choice), False, num_skipped)
