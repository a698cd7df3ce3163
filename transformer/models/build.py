"""The models by name."""

from collections.abc import Mapping
from typing import Any

from transformer.models.base import SequenceModel
from transformer.models.bigram import Bigram
from transformer.models.encoder_decoder import EncoderDecoder
from transformer.models.gpt import GPT

MODELS = {"gpt": GPT, "bigram": Bigram, "encoder_decoder": EncoderDecoder}

# What an architecture means that does not name these: its file is older than they are.
_WHERE_ABSENT = {"gpt": {"position_gain": False}}


def completed(architecture: Mapping[str, Any]) -> dict[str, Any]:
    """An architecture as a file has it, with what was not named when the file was written."""
    return _WHERE_ABSENT.get(architecture["model"], {}) | dict(architecture)


def build_model(model: str, **architecture: Any) -> SequenceModel:
    """The model of that name from its plain arguments.

    Raises: ValueError for an unknown name, listing the known ones; TypeError for other arguments.
    """
    if model not in MODELS:
        raise ValueError(f"model must be one of {', '.join(MODELS)}, got {model!r}")
    return MODELS[model](**architecture)
