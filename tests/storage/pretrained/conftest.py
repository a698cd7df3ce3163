"""Folders as `save_pretrained` writes them, with tiny random models and learned tokenizers."""

import json
from pathlib import Path

import pytest

from tests.command_line.conftest import TEXT

WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)  # Llama 3's
VOCAB_SIZE = 331  # of the models: more than the tokenizers have
BLOCK_SIZE = 64
SIZES = {
    "GPT2": {"n_embd": 24, "n_layer": 2, "n_head": 3, "n_positions": BLOCK_SIZE, "n_inner": 40},
    "Llama": {
        **{"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 6},
        **{"num_key_value_heads": 2, "intermediate_size": 40},
        "max_position_embeddings": BLOCK_SIZE,
    },
}
SIZES["Qwen3"] = {**SIZES["Llama"], "head_dim": 14}  # 6 x 14 is not 24
CLASSES = {"GPT2": "GPT2LMHeadModel", "Llama": "LlamaForCausalLM", "Qwen3": "Qwen3ForCausalLM"}


@pytest.fixture(autouse=True)
def quiet():
    """The library says much on stderr."""
    transformers = pytest.importorskip("transformers")
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()


def make_theirs(kind, generator, **changes):
    """A model of the library with drawn weights, gains and biases too."""
    import torch
    import transformers

    config = getattr(transformers, f"{kind}Config")(
        vocab_size=VOCAB_SIZE, bos_token_id=0, eos_token_id=0, **SIZES[kind] | changes
    )
    model = getattr(transformers, CLASSES[kind])(config).to(torch.get_default_dtype()).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            gain = parameter.ndim == 1 and name.endswith("weight")
            parameter.normal_(1.0 if gain else 0.0, 0.3 if gain else 0.2, generator=generator)
    return model


@pytest.fixture
def save(tmp_path, generator):
    """Writes a model and a tokenizer; gives the folder and the library's model."""

    def save(kind="GPT2", tokenizer="gpt2", max_shard_size="5GB", **changes):
        theirs, folder = make_theirs(kind, generator, **changes), tmp_path / kind
        theirs.save_pretrained(folder, max_shard_size=max_shard_size)
        if tokenizer:
            write_tokenizer(folder, tokenizer)
        return folder, theirs

    return save


def learned(name):
    """A tokenizer of the library, learned from a text, with the parts that a family has."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

    made = Tokenizer(models.BPE(ignore_merges=name == "llama3"))
    by_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.pre_tokenizer = {
        "gpt2": pre_tokenizers.ByteLevel(add_prefix_space=False),
        "llama3": pre_tokenizers.Sequence(
            [pre_tokenizers.Split(Regex(WORDS), "isolated"), by_bytes]
        ),
        "qwen": pre_tokenizers.Sequence(
            [pre_tokenizers.Split(Regex(WORDS.replace("{1,3}", "")), "isolated"), by_bytes]
        ),
        "smollm": pre_tokenizers.Sequence(
            [
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False),
            ]
        ),
    }[name]
    if name == "qwen":
        made.normalizer = normalizers.NFC()
    letters = pre_tokenizers.ByteLevel.alphabet()
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=320, initial_alphabet=letters, special_tokens=specials, show_progress=False
    )
    made.train_from_iterator([TEXT, "naïve café Ångström\n漢字 12345"] * 3, trainer)
    return made


def write_tokenizer(folder: Path, name: str):
    """As files: a tokenizer.json or, for `two_files`, GPT-2's two."""
    made = learned("gpt2" if name == "two_files" else name)
    if name != "two_files":
        made.save(str(folder / "tokenizer.json"))
        return made
    made.model.save(str(folder))
    return made


def change_config(folder, **changes):
    path = folder / "config.json"
    values = json.loads(path.read_text(encoding="utf-8")) | changes
    path.write_text(json.dumps(values), encoding="utf-8")
