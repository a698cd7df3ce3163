"""Which of our models a class of transformers computes exactly, and what is said of others."""

from itertools import product
from pathlib import Path

import pytest

from transformer.config.files import load_config
from transformer.models.families.bigram import BigramSettings
from transformer.models.families.encoder_decoder import EncoderDecoderSettings
from transformer.models.families.gpt import GPTSettings
from transformer.storage.pretrained.families.registry import FAMILIES
from transformer.storage.pretrained.fitting import RECIPE, fitted, fitted_class
from transformer.system.errors import UserError

CONFIGS = Path(__file__).parents[3] / "configs"
SIZES = {"vocab_size": 13, "block_size": 7, "embedding_dim": 24, "num_heads": 6, "num_blocks": 2}
GPT2 = {"positions": "learned", "norm": "layernorm", "bias": True}
LLAMA = {"positions": "rotary", "norm": "rmsnorm", "activation": "swiglu", "bias": False}
CHOICES = {
    "GPT2LMHeadModel": [
        GPT2 | {"activation": activation, "tie_weights": tied, "feedforward_dim": width}
        for activation, tied, width in product(
            ("gelu", "gelu_tanh", "relu"), (True, False), (None, 17)
        )
    ],
    "LlamaForCausalLM": [
        LLAMA | {"num_kv_heads": kv, "tie_weights": tied, "bias": bias, "norm_eps": 1e-6}
        for kv, tied, bias in product(("auto", 2), (True, False), (True, False))
    ],
    "Qwen3ForCausalLM": [
        LLAMA | {"qk_norm": True, "num_kv_heads": kv, "head_dim": width, "rotary_base": 5e5}
        for kv, width in product(("auto", 3), ("auto", 14))
    ],
}
CASES = [(name, changes) for name, all_ in CHOICES.items() for changes in all_]


def settings_of(**changes):
    return GPTSettings(**SIZES | changes)


@pytest.mark.parametrize(("name", "changes"), CASES, ids=str)
def test_settings_that_a_class_has_are_read_from_what_is_written(name, changes):
    settings = settings_of(**changes)
    assert fitted(FAMILIES[name], settings).settings == settings
    assert fitted_class(settings).family.name == name


def test_rotary_positions_of_long_contexts_are_written_whole():
    settings = settings_of(**LLAMA, rotary_base=5e5, rotary_scaling=[8.0, 1.0, 4.0, 64.0])
    found = fitted_class(settings)
    assert found.settings == settings
    assert found.values.get("rope_scaling")["original_max_position_embeddings"] == 64


def test_what_only_training_needs_or_nothing_uses_is_no_hindrance():
    settings = settings_of(**GPT2, dropout=0.2, position_gain=False, ngram_buckets=5)
    assert fitted_class(settings).family.name == "GPT2LMHeadModel"


def test_a_gpt_without_biases_becomes_a_gpt2_with_zeros():
    assert fitted_class(settings_of(**GPT2 | {"bias": False})).settings.bias


WRONG = [
    (LLAMA | {"ngram_size": 2, "token_shift": True}, "ngram_size 2, token_shift true .*Llama"),
    (LLAMA | {"qk_norm": True, "activation": "relu2"}, r"activation relu2 .*Qwen3.*has .*swiglu"),
    (LLAMA | {"qk_norm": True, "bias": True}, r"qk_norm true \(the nearest, LlamaForCausalLM"),
    (LLAMA | {"norm_first": False}, "norm_first false"),
    (GPT2 | {"positions": "sinusoidal"}, r"positions sinusoidal \(the nearest, GPT2"),
    (GPT2 | {"positions": "none"}, "positions none"),
    (GPT2 | {"head_bias": True}, "head_bias true"),
    (GPT2 | {"num_kv_heads": 2}, "num_kv_heads 2"),
    (GPT2 | {"activation": "swiglu", "norm": "rmsnorm"}, "positions learned"),
    (GPT2 | {"activation": "relu2"}, "activation relu2"),
    (GPT2 | {"head_dim": 5}, "head_dim 5"),
    (LLAMA | {"norm": "layernorm"}, "norm layernorm"),
]


@pytest.mark.parametrize(("changes", "words"), WRONG, ids=str)
def test_settings_that_no_class_has_are_named_with_the_recipe(changes, words):
    with pytest.raises(UserError, match=words) as caught:
        fitted_class(settings_of(**changes))
    assert str(caught.value).endswith("configs/default.yaml is a recipe that exports")
    fitted_class(load_config(CONFIGS.parent / RECIPE).family_settings())  # raises nothing
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [
        BigramSettings(vocab_size=5, block_size=7),
        EncoderDecoderSettings(**SIZES, source_vocab_size=5),
    ],
    ids=lambda settings: settings.name,
)
def test_models_that_are_no_gpt_are_refused_by_name(settings):
    with pytest.raises(UserError, match=f"model {settings.name}: no class of transformers"):
        fitted_class(settings)


@pytest.mark.parametrize(
    ("config", "name"),
    [("qwen3", "Qwen3ForCausalLM"), ("gpt2-recipe-cpu", "GPT2LMHeadModel")],
)
def test_recipes_that_export(config, name):
    assert (
        fitted_class(load_config(CONFIGS / f"{config}.yaml").family_settings()).family.name == name
    )
