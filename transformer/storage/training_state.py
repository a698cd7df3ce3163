"""Reads a run's .ckpt (weights, optimizer state, progress) without running code in it."""

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from transformer.storage.metadata import METADATA_KEY
from transformer.system.errors import UserError

READ_ERRORS = (
    *(RuntimeError, EOFError, OSError, KeyError, ValueError, TypeError, AttributeError),
    *(IndexError, AssertionError, NotImplementedError, zipfile.BadZipFile),
)


def read_training_state(path: Path) -> dict[str, Any]:
    """The whole content of a run's .ckpt, on the CPU: plain numbers, texts and tensors.

    Raises: UserError for a file that is damaged (its parts have checksums) or carries code.
    """
    if not zipfile.is_zipfile(path):
        raise UserError(f"{path}: truncated or not a checkpoint; name another")
    try:
        with zipfile.ZipFile(path) as file:
            if any(part.compress_type != zipfile.ZIP_STORED for part in file.infolist()):
                raise UserError(f"{path}: not a checkpoint of this program: it is compressed")
            if damaged := file.testzip():  # torch.load compares no checksums
                raise UserError(f"{path}: damaged: {damaged} does not match its checksum")
        # Mapped: each process reads only the parts that it uses.
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError:
        raise UserError(
            f"{path}: holds more than plain numbers and texts, so it could run code: not loaded"
        ) from None
    except UserError:
        raise
    except READ_ERRORS as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path}: truncated or not a checkpoint ({reason})") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: not a checkpoint of this program: its values have no names")
    return content


def read_with_metadata(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """All of a run's .ckpt, and the JSON texts of its metadata. Raises: UserError without these."""
    content = read_training_state(path)
    if not isinstance(texts := content.get(METADATA_KEY), dict):
        raise UserError(
            f"{path}: not a checkpoint of this program: it has no {METADATA_KEY!r} part"
        )
    return content, dict(texts)
