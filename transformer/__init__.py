"""Train small transformers from scratch, inspect them, and use their weights elsewhere.

The public names are loaded at their first use (PEP 562), so `import transformer` imports no torch.
The shortest way to a text is `transformer.load("model.safetensors").generate("ROMEO:")`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformer.config.files import load_config
    from transformer.config.keys import Config
    from transformer.data.pairs.datamodule import PairDataModule
    from transformer.data.text.datamodule import CharacterDataModule
    from transformer.data.tokenizers.characters import CharacterTokenizer
    from transformer.generation.text import TextGenerator, load
    from transformer.generation.translation import Translator, load_translator
    from transformer.lessons.tutorial_names import (
        MultiHeadSelfAttention,
        PositionalEncoding,
        ProductionTransformer,
        TransformerBlock,
        create_causal_mask,
    )
    from transformer.models import build_model
    from transformer.models.bigram import Bigram
    from transformer.models.encoder_decoder import EncoderDecoder
    from transformer.models.gpt import GPT
    from transformer.storage.model_file import save_model
    from transformer.system.errors import UserError
    from transformer.training.lightning_module import LanguageModule
    from transformer.training.pair_module import PairModule

__version__ = "0.1.0"

_HOMES = {
    "Bigram": "models.bigram",
    "CharacterDataModule": "data.text.datamodule",
    "CharacterTokenizer": "data.tokenizers.characters",
    "Config": "config.keys",
    "EncoderDecoder": "models.encoder_decoder",
    "GPT": "models.gpt",
    "LanguageModule": "training.lightning_module",
    "MultiHeadSelfAttention": "lessons.tutorial_names",
    "PairDataModule": "data.pairs.datamodule",
    "PairModule": "training.pair_module",
    "PositionalEncoding": "lessons.tutorial_names",
    "ProductionTransformer": "lessons.tutorial_names",
    "TextGenerator": "generation.text",
    "TransformerBlock": "lessons.tutorial_names",
    "Translator": "generation.translation",
    "UserError": "system.errors",
    "build_model": "models",
    "create_causal_mask": "lessons.tutorial_names",
    "load": "generation.text",
    "load_config": "config.files",
    "load_translator": "generation.translation",
    "save_model": "storage.model_file",
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
