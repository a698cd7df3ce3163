"""Loads a model of another program, with its tokenizer, as one of this program."""

from pathlib import Path

from transformer.storage.pretrained.folder import PretrainedFolder
from transformer.storage.saved_model import SavedModel


def load_pretrained(path: Path) -> SavedModel:
    """Raises: UserError as `PretrainedFolder` and its parts; a folder needs a tokenizer here."""
    folder = PretrainedFolder(path)
    tokenizer = folder.tokenizer  # before the weights, which take time
    nothing = {"config": {}, "corpus": {}, "results": {}}
    return SavedModel(path, folder.model(), tokenizer, folder.architecture, **nothing)
