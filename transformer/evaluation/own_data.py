"""The data that a model was trained on: found again, and compared with other data. No torch."""

from contextlib import suppress
from os.path import exists, isfile
from typing import TYPE_CHECKING, Any

from transformer.data.record import describe_change, describe_inside, describe_shared, digest
from transformer.data.text.corpus import Text, read_corpus
from transformer.data.text.split import recorded_cut
from transformer.system.errors import UserError
from transformer.system.files import read_text
from transformer.system.shell import quoted

if TYPE_CHECKING:
    from transformer.storage.model_file import SavedModel


def own_path(saved: "SavedModel") -> str:
    """The path of the text or the pairs that a model was trained on.

    Raises: UserError where the file is not here or has changed.
    """
    path = saved.config.get("data_path")
    if not isinstance(path, str) or "sha256" not in saved.corpus:
        raise UserError(f"{saved.path}: does not say what it was trained on: give --data_path")
    if not exists(path):
        raise UserError(
            f"{path}: what {saved.path} was trained on is not here: start from the folder that its "
            "run was started in, or give its place with --data_path"
        )
    text = read_text(path, "file").text
    if digest(text) != saved.corpus["sha256"]:
        whole = f"give --data_path {quoted(path)} to evaluate on all of this file"
        raise UserError(
            f"{path}: is not what {saved.path} was trained on: "
            f"{describe_change(text, saved.corpus)}: restore it, give its place with --data_path, "
            f"or {whole}"
        )
    return path


def find_own_text(saved: "SavedModel") -> Text | None:
    """The text that the model was trained on, where its file is still what it was."""
    path = saved.config.get("data_path")
    if not isinstance(path, str) or not isfile(path):
        return None
    with suppress(UserError):
        text = read_corpus(path)
        return text if text.sha256 == saved.corpus.get("sha256") else None
    return None


def compare_text(text: Text, own: Text | None, saved: "SavedModel") -> str | None:
    """A sentence on what another text has of the model's own; None for its own."""
    if own is text:
        return None
    parts = None
    if own is not None:
        cut = recorded_cut(saved.corpus, len(own.characters), saved.config["val_fraction"])
        parts = describe_inside(text.characters, own.characters, cut)
    parts = parts or describe_shared(text.characters, saved.corpus)
    return f"not the text that the model was trained on, by its sha256: {parts}"


def comparison_line(report: dict[str, Any]) -> str:
    """A line on a file other than the model's own."""
    return f"{report['data_path']}: {report['comparison']}\n" if report["comparison"] else ""
