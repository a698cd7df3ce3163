"""Finds the pairs a model was trained on, and tells its files from others. Imports no torch."""

from collections.abc import Callable
from dataclasses import replace
from os.path import exists
from typing import TYPE_CHECKING, Any

from transformer.config.groups import taken
from transformer.data.pairs.reading import Pairs, read_pairs
from transformer.data.pairs.settings import PairSettings
from transformer.data.sources.changes import describe_changed_files
from transformer.data.sources.settings import in_words, shown
from transformer.data.tokenizers.pairs import PairTokenizer
from transformer.evaluation.own_data import own_path
from transformer.system.errors import UserError

if TYPE_CHECKING:
    from transformer.storage.model_file import SavedModel

FILES = ("data_path", "val_path", "test_path")
# The key of the file in which a split stands, if there is such a file.
FILE_OF = {"validation": "val_path", "test": "test_path"}


def own_fractions(saved: "SavedModel") -> tuple[float, float]:
    """The shares of data_path that were split off for validation and for the test."""
    return taken(PairSettings, {"block_size": 1} | saved.config).fractions


def read_own_pairs(
    saved: "SavedModel", settings: PairSettings, recall: Callable[[], PairTokenizer]
) -> Pairs:
    """The pairs that a model was trained on, of all its files.

    Raises: UserError if a file is missing or has changed.
    """
    if "files" not in saved.corpus:
        return read_pairs(own_path(saved), settings, recall=recall)
    paths = _paths(saved)
    for key, path in paths.items():
        if not exists(path):
            raise UserError(
                f"{path}: the {key} of {saved.path} is missing: start from the folder where "
                "training was started, or give a file of pairs as `data_path`"
            )
    own = {key: paths.get(key) for key in FILE_OF.values()}
    pairs = read_pairs(paths["data_path"], replace(settings, **own), recall=recall)
    if pairs.sha256 != saved.corpus["sha256"]:
        raise UserError(
            f"{in_words(list(paths.values()))}: is not the training data of {saved.path}: "
            f"{describe_changed_files(saved.corpus, pairs.facts)}: restore it, or give a file of "
            "pairs as `data_path` to evaluate on all of it"
        )
    return pairs


def _paths(saved: "SavedModel") -> dict[str, Any]:
    paths = {key: saved.config.get(key) for key in FILES}
    return {key: path for key, path in paths.items() if path is not None}


def path_of(saved: "SavedModel", split: str) -> str:
    """The file of a split of a model's own pairs, in words."""
    paths = _paths(saved)
    if split in FILE_OF:
        return in_words(paths.get(FILE_OF[split], paths["data_path"]))
    return in_words(list(paths.values()))


def key_of(pairs: Pairs, saved: "SavedModel") -> str | None:
    """The key of a model's config that names the file of these pairs, by its sha256."""
    known = saved.corpus.get("files", {})
    for key, path in _paths(saved).items():
        if shown(path) in known and pairs.sha256.startswith(known[shown(path)]):
            return key
    return None
