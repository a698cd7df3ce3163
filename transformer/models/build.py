"""The models by name."""

from typing import Any

from transformer.models.base import SequenceModel
from transformer.models.bigram import Bigram
from transformer.models.encoder_decoder import EncoderDecoder
from transformer.models.gpt import GPT

MODELS = {"gpt": GPT, "bigram": Bigram, "encoder_decoder": EncoderDecoder}


def build_model(model: str, **architecture: Any) -> SequenceModel:
    """The model of that name from its plain arguments.

    Raises: ValueError for an unknown name, listing the known ones; TypeError for other arguments.
    """
    if model not in MODELS:
        raise ValueError(f"model must be one of {', '.join(MODELS)}, got {model!r}")
    return MODELS[model](**architecture)
