"""What a folder may be that is not read: each is one line with the value and the way out."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

import generate
from tests.storage.pretrained.conftest import change_config
from transformer.storage.model_file import load_model
from transformer.storage.pretrained.folder import read_pretrained
from transformer.system.errors import UserError

VALUES = [
    ("GPT2", {"architectures": ["BertModel"]}, "is a BertModel, which is not read: known are GPT2"),
    ("GPT2", {"architectures": None}, "names no class, which is not read"),
    ("GPT2", {"n_embd": None}, "n_embd must be a whole number above 0, it is missing"),
    ("GPT2", {"n_embd": "24"}, 'n_embd must be a whole number above 0, got "24"'),
    ("GPT2", {"n_head": 5}, "embedding_dim must be divisible by num_heads, got"),
    ("GPT2", {"n_positions": 2**30}, "n_positions 1073741824 is not read: 1,048,576 is the most"),
    ("GPT2", {"vocab_size": 10**12}, "vocab_size 1000000000000 is not read: 1,048,576 is the most"),
    ("Llama", {"vocab_size": 10**12}, "vocab_size 1000000000000 is not read: 1,048,576 is"),
    ("GPT2", {"activation_function": "mish"}, 'activation_function "mish" is not read: known are'),
    ("GPT2", {"scale_attn_by_inverse_layer_idx": True}, "inverse_layer_idx true is not read"),
    ("GPT2", {"tie_word_embeddings": 1}, "tie_word_embeddings must be true or false, got 1"),
    ("GPT2", {"n_layer": 10**9}, "1000000000 blocks, but 28 tensors"),
    ("GPT2", {"quantization_config": {"bits": 4}}, "quantization_config .* is not read"),
    ("Llama", {"hidden_act": "gelu"}, 'hidden_act "gelu" is not read: known are silu, swish'),
    ("Llama", {"num_key_value_heads": 4}, "num_heads must be divisible by num_kv_heads, got"),
    ("Llama", {"rope_parameters": {"rope_type": "yarn"}}, 'rope_type "yarn" is not read'),
    ("Llama", {"rope_parameters": {"rope_type": "llama3"}}, "factor must be .*, it is missing"),
    ("Llama", {"rope_parameters": 7}, "rope_parameters must be a JSON object, got 7"),
    ("Llama", {"partial_rotary_factor": 0.5}, "partial_rotary_factor 0.5 is not read: only 1.0"),
    ("Llama", {"rms_norm_eps": 0}, "rms_norm_eps must be a number above 0, got 0"),
    ("Llama", {"attention_bias": True}, "self_attn.q_proj.bias is missing"),
    ("Llama", {"tie_word_embeddings": True}, "lm_head.weight differs from embed_tokens.weight"),
    (
        "Llama",
        {"num_attention_heads": 3, "num_key_value_heads": 1},
        r"has shape \(24, 24\), not \(12, 24\)",
    ),
    ("Qwen3", {"use_sliding_window": True}, "use_sliding_window true is not read: only false is"),
    ("Qwen3", {"layer_types": ["sliding_attention"] * 2}, "layer_types .* only full_attention is"),
]


@pytest.mark.parametrize(("kind", "changes", "words"), VALUES, ids=str)
def test_a_config_that_asks_for_something_else_is_refused(save, kind, changes, words):
    folder, _ = save(kind, tokenizer=None)
    change_config(folder, **changes)
    with pytest.raises(UserError, match=words) as caught:
        read_pretrained(folder).model()
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


def rewritten(change):
    def damage(folder):
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors")

    return damage


def truncated(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:5000])


def pickled(content):
    def damage(folder):
        (folder / "model.safetensors").unlink()
        torch.save(content, folder / "pytorch_model.bin")

    return damage


def indexed(weight_map):
    def damage(folder):
        (folder / "model.safetensors").rename(folder / "part.safetensors")
        index = json.dumps({"weight_map": weight_map})
        (folder / "model.safetensors.index.json").write_text(index, encoding="utf-8")

    return damage


NAME = "transformer.wte.weight"
FILES = {
    "no such file|has no config.json": lambda f: (f / "config.json").unlink(),
    "config.json: damaged: not JSON": lambda f: (f / "config.json").write_text("{"),
    "config.json: damaged: not a JSON object": lambda f: (f / "config.json").write_text("3"),
    r"has no weights \(model.safetensors or": lambda f: (f / "model.safetensors").unlink(),
    "model.safetensors: truncated or damaged": truncated,
    "tensor wte.weight is missing": rewritten(lambda t: t.pop(NAME)),
    "tensor extra is not expected": rewritten(lambda t: t.update(extra=torch.ones(3))),
    r"tensor transformer.wte.weight has shape \(3, 5\), not \(331, 24\)": rewritten(
        lambda t: t.update({NAME: torch.ones(3, 5)})
    ),
    "wte.weight holds numbers that are not finite": rewritten(lambda t: t[NAME].fill_(torch.nan)),
    "holds more than plain numbers": pickled({NAME: VALUES.__iter__}),
    "holds more than tensors": pickled({NAME: 3}),
    "its tensors are larger than the file": pickled({NAME: torch.zeros(1).expand(10**9)}),
    "no-such.safetensors: no such file of weights": indexed({NAME: "no-such.safetensors"}),
    "the file of transformer.wte.weight is '../x'": indexed({NAME: "../x"}),
    "lacks the tensor y, which model.safetensors.index.json names": indexed(
        {"y": "part.safetensors"}
    ),
    "which model.safetensors.index.json does not name": indexed({NAME: "part.safetensors"}),
}


@pytest.mark.parametrize("words", FILES)
def test_files_that_are_damaged_or_missing_are_named(save, words):
    folder, _ = save()
    FILES[words](folder)
    with pytest.raises(UserError, match=words) as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)


def test_one_file_of_another_program_says_to_give_its_folder(save):
    folder, _ = save()
    with pytest.raises(UserError, match="for a model of another program give its folder"):
        load_model(folder / "model.safetensors")


def test_a_script_ends_with_one_line_and_status_2(save, capsys):
    folder, _ = save()
    change_config(folder, architectures=["MixtralForCausalLM"])
    with pytest.raises(UserError, match="MixtralForCausalLM"):
        generate.main([str(folder)])


def test_a_folder_writes_text_as_a_run_does(save, capsys):
    import transformer

    folder, _ = save("Qwen3", tokenizer="qwen")
    arguments = ["--prompt=To be", "--max_new_tokens=7", "--temperature=0", "--precision=float32"]
    assert generate.main([str(folder), *arguments]) == 0
    text = capsys.readouterr().out
    loaded = transformer.load(folder, device="cpu", precision="float32")
    (expected,) = loaded.generate("To be", max_new_tokens=7, temperature=0.0)
    assert text.rstrip("\n") == expected.rstrip("\n")
    assert expected.startswith("To be")
    assert generate.main([str(folder), "--info"]) == 0
    assert "num_kv_heads 2, head_dim 14" in capsys.readouterr().out
