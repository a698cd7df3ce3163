"""Finds a model's training data, and compares other data with it. Imports no torch."""

from contextlib import suppress
from os.path import exists
from typing import TYPE_CHECKING, Any

from transformer.config.groups import taken
from transformer.data.record import describe_change, describe_inside, describe_shared, digest
from transformer.data.sources.encodings import read_as_text
from transformer.data.sources.paths import is_pattern
from transformer.data.sources.settings import listed
from transformer.data.text.corpus import Text, read_corpus
from transformer.data.text.settings import TextSettings
from transformer.data.text.split import recorded_cuts
from transformer.system.errors import UserError
from transformer.system.files import read_bytes
from transformer.system.shell import quoted

if TYPE_CHECKING:
    from transformer.storage.model_file import SavedModel


def settings_of(saved: "SavedModel") -> TextSettings:
    """How the model's own text was read; keys that its file lacks have their defaults."""
    return taken(TextSettings, {"block_size": 1} | saved.config)


def recorded_path(saved: "SavedModel") -> Any:
    """The data_path that a model was trained with.

    Raises: UserError if the model does not name it, and if it is not there.
    """
    path = saved.config.get("data_path")
    if path is None or "sha256" not in saved.corpus:
        raise UserError(f"{saved.path}: does not name its training data: give --data_path")
    for part in listed(path):
        if not is_pattern(part) and not exists(part):
            raise UserError(
                f"{part}: the training data of {saved.path} is missing: start from the folder "
                "where training was started, or give its path with --data_path"
            )
    return path


def own_path(saved: "SavedModel") -> str:
    """The path of the text or the pairs that a model was trained on.

    Raises: UserError if the file is missing or has changed.
    """
    if "num_documents" in saved.corpus:
        raise UserError(f"{saved.path}: was trained on documents, not on one text")
    path = str(recorded_path(saved))
    encoding = saved.config.get("encoding", "utf-8")
    any_bytes = saved.tokenizer.reads_any_file
    text = read_as_text(read_bytes(path, "file"), path, encoding, any_bytes=any_bytes).text
    if digest(text) != saved.corpus["sha256"]:
        raise UserError(
            f"{path}: is not the training data of {saved.path}: "
            f"{describe_change(text, saved.corpus)}: restore it, give its path with --data_path, "
            f"or give --data_path {quoted(path)} to evaluate on all of this file"
        )
    return path


def find_own_text(saved: "SavedModel") -> Text | None:
    """The text that the model was trained on; None if its file is missing or has changed."""
    with suppress(UserError):
        path, encoding = own_path(saved), settings_of(saved).encoding
        return read_corpus(path, any_bytes=saved.tokenizer.reads_any_file, encoding=encoding)
    return None


def compare_text(text: Text, own: Text | None, saved: "SavedModel") -> str | None:
    """A sentence on what a text shares with the model's own; None if it is the model's own."""
    if own is text:
        return None
    parts = None
    if own is not None:
        cuts = recorded_cuts(saved.corpus, len(own.characters), saved.config["val_fraction"])
        parts = describe_inside(text.characters, own.characters, cuts.train)
    parts = parts or describe_shared(text.characters, saved.corpus)
    return f"not the text that the model was trained on, by its sha256: {parts}"


def comparison_line(report: dict[str, Any]) -> str:
    return f"{report['data_path']}: {report['comparison']}\n" if report["comparison"] else ""
