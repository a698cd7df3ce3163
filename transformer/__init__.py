"""Train small transformers from scratch, understand them, take them elsewhere.

The public names are loaded when first used (PEP 562): importing one part never imports torch for
all. `transformer.load("model.safetensors").generate("ROMEO:")` is the shortest way to text.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformer.checkpoint import save_model
    from transformer.config import Config
    from transformer.config_files import load_config
    from transformer.data.datamodule import CharacterDataModule
    from transformer.data.pair_datamodule import PairDataModule
    from transformer.data.tokenizers import CharacterTokenizer
    from transformer.errors import UserError
    from transformer.generation.text import TextGenerator, load
    from transformer.generation.translation import Translator, load_translator
    from transformer.models import build_model
    from transformer.models.bigram import Bigram
    from transformer.models.encoder_decoder import EncoderDecoder
    from transformer.models.gpt import GPT
    from transformer.production import (
        MultiHeadSelfAttention,
        PositionalEncoding,
        ProductionTransformer,
        TransformerBlock,
        create_causal_mask,
    )
    from transformer.training.lightning_module import LanguageModule
    from transformer.training.pair_module import PairModule

__version__ = "0.1.0"

_HOMES = {
    "Bigram": "models.bigram",
    "CharacterDataModule": "data.datamodule",
    "CharacterTokenizer": "data.tokenizers",
    "Config": "config",
    "EncoderDecoder": "models.encoder_decoder",
    "GPT": "models.gpt",
    "LanguageModule": "training.lightning_module",
    "MultiHeadSelfAttention": "production",
    "PairDataModule": "data.pair_datamodule",
    "PairModule": "training.pair_module",
    "PositionalEncoding": "production",
    "ProductionTransformer": "production",
    "TextGenerator": "generation.text",
    "TransformerBlock": "production",
    "Translator": "generation.translation",
    "UserError": "errors",
    "build_model": "models",
    "create_causal_mask": "production",
    "load": "generation.text",
    "load_config": "config_files",
    "load_translator": "generation.translation",
    "save_model": "checkpoint",
}

__all__ = [
    "GPT",
    "Bigram",
    "CharacterDataModule",
    "CharacterTokenizer",
    "Config",
    "EncoderDecoder",
    "LanguageModule",
    "MultiHeadSelfAttention",
    "PairDataModule",
    "PairModule",
    "PositionalEncoding",
    "ProductionTransformer",
    "TextGenerator",
    "TransformerBlock",
    "Translator",
    "UserError",
    "build_model",
    "create_causal_mask",
    "load",
    "load_config",
    "load_translator",
    "save_model",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
