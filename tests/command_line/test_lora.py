"""LoRA as a user runs it: an adapter is trained, kept alone, merged, and needs its base."""

import json
import re
import shutil

import pytest
import torch
import yaml

import generate
import train
from tests.command_line.test_start_from import NEW
from transformer import LanguageModule
from transformer.storage.model_file import load_model
from transformer.storage.training_state import read_training_state
from transformer.system.errors import UserError

LAST = "checkpoints/last.ckpt"
BASE = "base/model.safetensors"


@pytest.fixture
def base(finished, short_runs, tmp_path):
    """A model that tests may change, and a text that it can write."""
    folder = tmp_path / "base"
    folder.mkdir()
    shutil.copy(finished.folder / "model.safetensors", folder)
    (tmp_path / "old.txt").write_text("To be, or not to be.\n" * 50, encoding="utf-8")
    return folder / "model.safetensors"


@pytest.fixture
def start(call, base, tmp_path):
    def run(*flags, steps=6, text="old.txt"):
        limits = ("--max_steps", steps, "--val_every_steps", 3, "--lora_rank", 2)
        call(train, "--start_from", base, "--data_path", text, *limits, *flags)
        return max((tmp_path / "runs").glob("from-*/version_*"))

    return run


def tensors_of(path):
    return load_model(path).model.state_dict()


def test_checkpoints_hold_the_adapter_alone_and_the_model_file_is_merged(call, start, base):
    folder = start("--lora_alpha", 3)
    state = read_training_state(folder / LAST)
    assert all(re.search(r"\.(up|down)\.weight$", name) for name in state["state_dict"])
    moments = state["optimizer_states"][0]["state"]
    assert len(moments) == len(state["state_dict"])
    merged, before = tensors_of(folder / "model.safetensors"), tensors_of(base)
    assert merged.keys() == before.keys()
    changed = {name for name in merged if not torch.equal(merged[name], before[name])}
    matrices = ("attention.qkv", "attention.output", "feedforward.input", "feedforward.output")
    assert changed == {f"blocks.0.{name}.weight" for name in matrices}
    from_checkpoint = tensors_of(folder / "checkpoints/best.ckpt")
    assert all(torch.equal(merged[name], from_checkpoint[name]) for name in merged)
    sample = ("--prompt", "To be", "--max_new_tokens", 9, "--seed", 1)
    of_file = call(generate, folder / "model.safetensors", *sample)
    assert call(generate, folder / "checkpoints/best.ckpt", *sample) == of_file
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert summary["num_trained_parameters"] == sum(t.numel() for t in state["state_dict"].values())
    assert summary["num_parameters"] == sum(p.numel() for p in load_model(base).model.parameters())
    config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    recipe = {"optimizer": "adamw", "weight_decay": 0.0, "lr": 1e-2}
    assert {key: config[key] for key in recipe} == recipe
    with pytest.raises(UserError, match="holds an adapter alone"):
        LanguageModule.load_from_checkpoint(folder / LAST)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_new_characters_and_a_rounded_base_are_merged_too(start, tmp_path, base, precision):
    (tmp_path / "new.txt").write_text(NEW, encoding="utf-8")
    folder = start("--base_precision", precision, text="new.txt")
    names = read_training_state(folder / LAST)["state_dict"]
    assert {"model.token_embedding.weight", "model.lm_head.bias"} < set(names)
    merged = tensors_of(folder / "model.safetensors")
    from_checkpoint = tensors_of(folder / "checkpoints/best.ckpt")
    assert all(torch.equal(merged[name], from_checkpoint[name]) for name in merged)


@pytest.mark.parametrize("way", ["gone", "changed"])
def test_an_adapter_without_its_base_is_one_clear_error(call, start, base, finished, way):
    folder = start(steps=3)
    if way == "gone":
        base.unlink()
    else:
        shutil.copy(finished.folder / "model.safetensors", base)
        from transformer.storage.model_file import save_model

        saved = load_model(base)
        with torch.no_grad():
            saved.model.final_norm.weight[0] += 1
        parts = {"architecture": saved.architecture, "tokenizer": saved.tokenizer.state}
        save_model(base, saved.model, parts)
    reason = {"gone": "its base is gone", "changed": "its base has other weights now"}[way]
    message = f"last.ckpt: holds an adapter alone, and {reason}: .*model.safetensors"
    for script, flags in ((generate, [folder / LAST, "--prompt", "To"]), (train, resumed(folder))):
        with pytest.raises(UserError, match=message + ".* which needs no base"):
            call(script, *flags)
    assert call(generate, folder / "model.safetensors", "--prompt", "To").startswith("To")


def resumed(folder):
    return ["--resume", folder, "--max_steps", 9]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--lora_rank", 23], "lora_rank must be at most embedding_dim, got .*=23 .*_dim=22"),
        (["--lora_rank", 0], "--lora_rank: .* greater than 0"),
        (["--lora_rank", -1], "--lora_rank: .* greater than 0"),
        (["--lora_rank", "none", "--lora_alpha", 4], "lora_alpha goes with lora_rank"),
        (["--lora_rank", "none", "--lora_dropout", 0.1], "lora_dropout goes with lora_rank"),
        (["--lora_rank", "none", "--base_precision", "int8"], "base_precision goes with lora_rank"),
        (["--lora_dropout", 1], "--lora_dropout: .* less than 1"),
        (["--lora_alpha", 0], "--lora_alpha: .* greater than 0"),
        (["--base_precision", "int4"], "--base_precision: .*float32.*int8"),
        (["--strategy", "fsdp"], "lora_rank does not go with strategy fsdp"),
    ],
    ids=str,
)
def test_settings_that_do_not_fit_are_one_clear_error(start, flags, message):
    with pytest.raises(UserError, match=message):
        start(*flags)


def test_an_adapter_without_a_model_is_one_clear_error(call, base):
    with pytest.raises(UserError, match="lora_rank goes with start_from"):
        call(train, "--config", "tiny.yaml", "--lora_rank", 2)


def test_a_checkpoint_is_no_base_as_it_may_be_replaced(call, finished, base):
    flags = ("--start_from", finished.folder / LAST, "--data_path", "old.txt", "--lora_rank", 2)
    with pytest.raises(UserError, match=r"last.ckpt: an adapter needs a base that stays as it is"):
        call(train, *flags, "--max_steps", 3)


def test_a_resumed_run_keeps_its_adapters_settings(call, start):
    folder = start(steps=3)
    for flag, value in (("lora_rank", 3), ("lora_alpha", 7), ("base_precision", "int8")):
        with pytest.raises(UserError, match=f"was trained with {flag}="):
            call(train, *resumed(folder), f"--{flag}", value)


@pytest.mark.slow
def test_the_estimate_is_of_the_adapter(call, base, monkeypatch):
    from transformer.run import estimation, footprint

    monkeypatch.setattr(estimation, "step_memory", footprint.step_memory)
    found = []
    make = estimation.device_memory
    monkeypatch.setattr(estimation, "device_memory", lambda *a: found.append(make(*a)) or found[-1])
    flags = ("--start_from", base, "--data_path", "old.txt", "--max_steps", 3, "--estimate")
    for more in ((), ("--lora_rank", 2), ("--lora_rank", 2, "--base_precision", "int8")):
        assert "this run takes about" in call(train, *flags, *more)
    whole, adapted, rounded = (each.bytes_by_part for each in found)
    assert adapted["optimizer"] < whole["optimizer"] / 2
    assert adapted["weights"] > whole["weights"] > rounded["weights"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags", [("--lora_dropout", "0.2"), ("--base_precision", "int8", "--optimizer", "muon")]
)
def test_a_run_with_an_adapter_resumes_bit_for_bit(call, base, tmp_path, flags, caplog):
    caplog.set_level("INFO")
    (tmp_path / "new.txt").write_text(NEW, encoding="utf-8")
    own = ("--start_from", base, "--data_path", "new.txt", "--lora_rank", 2)
    call(train, *own, "--verify_resume", *flags)
    assert any("give bit-identical weights" in line for line in caplog.messages)
