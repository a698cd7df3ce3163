"""Writes the files of a folder as `save_pretrained` of transformers does."""

import json
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from transformer.data.tokenizers.base import Tokenizer
from transformer.decoding.settings import TEMPERATURE
from transformer.export.hugging_face.model_card import model_card
from transformer.storage.pretrained.fitting import fitted_class
from transformer.storage.pretrained.places import (
    CARD,
    CONFIG,
    GENERATION_CONFIG,
    TOKENIZER,
    TOKENIZER_CONFIG,
    WEIGHTS,
)
from transformer.storage.pretrained.weights import their_tensors
from transformer.storage.saved_model import SavedModel
from transformer.system.files import replacing, write_text


def write_folder(saved: SavedModel, folder: Path, options: Any) -> str:
    """Raises: UserError for a model or a tokenizer that such a folder cannot hold exactly."""
    fit = fitted_class(saved.model.settings)
    tokenizer = saved.tokenizer
    assert isinstance(tokenizer, Tokenizer)
    ids = _special_ids(tokenizer)
    block_size = saved.model.block_size
    number_format = str(next(saved.model.parameters()).dtype).removeprefix("torch.")
    tensors = their_tensors(saved.model, fit)
    _write_json(folder / CONFIG, fit.family.config(fit.settings) | ids | {"dtype": number_format})
    _write_json(folder / GENERATION_CONFIG, ids | _generation(block_size))
    _write_json(folder / TOKENIZER, tokenizer.spec)
    _write_json(folder / TOKENIZER_CONFIG, _tokenizer_config(tokenizer, block_size))
    with replacing(folder / WEIGHTS) as temporary:
        save_file(tensors, temporary, {"format": "pt"})
    write_text(folder / CARD, model_card(saved, fit.family.name, options))
    number = saved.model.num_parameters
    return f"a {fit.family.name} with {number:,} parameters in {number_format}"


def _special_ids(tokenizer: Tokenizer) -> dict[str, int | None]:
    """Written also where there is none: each class has ids of its own that it would take."""
    end = tokenizer.end_of_text
    return {"bos_token_id": None, "eos_token_id": end, "pad_token_id": end}


def _generation(block_size: int) -> dict[str, Any]:
    """As generate.py writes by default, up to the end of the context."""
    drawn = {"do_sample": True, "temperature": TEMPERATURE, "top_k": 0, "top_p": 1.0}
    return drawn | {"max_length": block_size}


def _tokenizer_config(tokenizer: Tokenizer, block_size: int) -> dict[str, Any]:
    """The name of a special token in a text stays text, as it does here."""
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": block_size,
        "clean_up_tokenization_spaces": False,
        "split_special_tokens": True,
    }
    if tokenizer.end_of_text is not None:
        name = tokenizer.pieces[tokenizer.end_of_text]
        config |= {"eos_token": name, "pad_token": name}
    return config


def _write_json(path: Path, content: dict[str, Any]) -> None:
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
