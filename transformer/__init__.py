"""Train small transformers from scratch, inspect them, and use their weights elsewhere.

The public names are loaded at their first use (PEP 562), so `import transformer` imports no torch.
The shortest way to a text is `transformer.load("model.safetensors").generate("ROMEO:")`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # `as` says to type checkers that the name is public here
    from transformer.config.files import load_config as load_config
    from transformer.config.keys import Config as Config
    from transformer.data.pairs.datamodule import PairDataModule as PairDataModule
    from transformer.data.text.datamodule import CharacterDataModule as CharacterDataModule
    from transformer.data.tokenizers.characters import CharacterTokenizer as CharacterTokenizer
    from transformer.generation.text import TextGenerator as TextGenerator
    from transformer.generation.text import load as load
    from transformer.generation.translation import Translator as Translator
    from transformer.generation.translation import load_translator as load_translator
    from transformer.lessons.tutorial_names import MultiHeadSelfAttention as MultiHeadSelfAttention
    from transformer.lessons.tutorial_names import PositionalEncoding as PositionalEncoding
    from transformer.lessons.tutorial_names import ProductionTransformer as ProductionTransformer
    from transformer.lessons.tutorial_names import TransformerBlock as TransformerBlock
    from transformer.lessons.tutorial_names import create_causal_mask as create_causal_mask
    from transformer.models import build_model as build_model
    from transformer.models.bigram import Bigram as Bigram
    from transformer.models.encoder_decoder import EncoderDecoder as EncoderDecoder
    from transformer.models.gpt import GPT as GPT
    from transformer.storage.model_file import save_model as save_model
    from transformer.storage.pretrained.folder import read_pretrained as read_pretrained
    from transformer.system.errors import UserError as UserError
    from transformer.training.lightning_module import LanguageModule as LanguageModule
    from transformer.training.pair_module import PairModule as PairModule

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
    "read_pretrained": "storage.pretrained.folder",
    "save_model": "storage.model_file",
}

if not TYPE_CHECKING:  # type checkers take the imports above, and refuse a list that is computed
    __all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
