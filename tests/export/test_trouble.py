"""What goes wrong with an export: one line, and nothing is left where it was to be written."""

import os
from pathlib import Path

import pytest

import export as script
import train
from tests.export.conftest import LLAMA
from transformer.export.exporting import export
from transformer.export.hugging_face.reloaded import ReloadedFolder
from transformer.storage.model_file import load_model, save_model
from transformer.system.errors import UserError


@pytest.fixture
def model_file(tmp_path, make_saved, monkeypatch):
    monkeypatch.chdir(tmp_path)
    saved = make_saved()
    facts = {"tokenizer": saved.tokenizer.state, "architecture": saved.architecture}
    save_model("model.safetensors", saved.model, facts)
    return "model.safetensors"


def refuses(flags, words):
    with pytest.raises(UserError, match=words) as caught:
        script.main(flags.split())
    assert "\n" not in str(caught.value)


def names(folder="."):
    return sorted(os.listdir(folder))


TO = "--to huggingface"


def test_a_model_is_exported_and_read_back_by_every_script(model_file, capsys, all_texts):
    import evaluate
    import generate

    assert script.main(f"{model_file} {TO} --out deep/my_model/".split()) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("deep/my_model: a GPT2LMHeadModel with ")
    assert "1,000 hostile strings" in second
    flags = ["--prompt=To be", "--max_new_tokens=7", "--temperature=0", "--precision=float32"]
    written = []
    for path in (model_file, "deep/my_model/"):
        assert generate.main([path, *flags]) == 0
        written.append(capsys.readouterr().out)
    assert written[0] == written[1]
    assert written[0].startswith("To be")
    Path("text.txt").write_text("To be, or not to be\n" * 20, encoding="utf-8")
    assert evaluate.main(["deep/my_model", "--data_path", "text.txt", "--json"]) == 0


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("nowhere.safetensors --to huggingface --out out", "nowhere.safetensors: no such"),
        ("--to huggingface --out out", "runs: no run with a checkpoint here"),
        ("MODEL --to marian --out out", "--to.*'huggingface' .*got 'marian'"),
        ("MODEL --out out", r"give --to .*huggingface.*: the format"),
        ("MODEL --to huggingface", "give --out TEXT: where to write it"),
        ("MODEL --to huggingface --out", "expected one argument"),
        ("MODEL --to huggingface --out model.safetensors --force", "is a file: --out must be a"),
        ("MODEL --to huggingface --out model.safetensors/x", "is a file, not a folder: give"),
        (
            "MODEL --to huggingface --out . --force",
            "holds model.safetensors and is no folder",
        ),
        (
            f"MODEL --to huggingface --out {'a' * 300}",
            "aaa: cannot be written .*: give another --out",
        ),
        ("MODEL --to huggingface --out out --format f16", "--format does not apply to --to hugg"),
        ("MODEL --to gguf --out out --format q4_0", "--format.*'q8_0' with --to gguf, got 'q4_0'"),
    ],
)
def test_bad_flags_are_one_line_and_write_nothing(model_file, flags, words):
    before = names()
    refuses(flags.replace("MODEL", model_file), words)
    assert names() == before


def test_an_export_is_replaced_by_force_alone(model_file):
    flags = f"{model_file} {TO} --out out"
    script.main(flags.split())
    before = os.stat("out/model.safetensors").st_ino
    refuses(flags, "out exists: give another --out, or --force to replace it")
    assert script.main(f"{flags} --force".split()) == 0
    assert os.stat("out/model.safetensors").st_ino != before
    assert names() == ["model.safetensors", "out"]


def test_a_folder_with_anything_else_is_never_replaced(model_file):
    script.main(f"{model_file} {TO} --out out".split())
    Path("out", "notes.txt").touch()
    refuses(f"{model_file} {TO} --out out --force", "out holds notes.txt and is no folder")
    assert "notes.txt" in names("out")


def test_an_empty_folder_and_a_link_to_nowhere_need_force_too(model_file):
    os.mkdir("out")
    refuses(f"{model_file} {TO} --out out", "out exists")
    assert script.main(f"{model_file} {TO} --out out --force".split()) == 0
    os.symlink("nowhere", "link")
    refuses(f"{model_file} {TO} --out link --force", "link is a file")


@pytest.mark.parametrize("where", ["write_folder", "their_tensors", "save_file"])
def test_a_full_disk_leaves_nothing_and_keeps_what_was_there(model_file, monkeypatch, where):
    script.main(f"{model_file} {TO} --out out".split())
    before = {name: Path("out", name).read_bytes() for name in names("out")}

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(f"transformer.export.hugging_face.folder.{where}", full)
    for out in ("out", "new"):
        with pytest.raises(OSError, match="No space left"):
            script.main(f"{model_file} {TO} --out {out} --force".split())
    assert names() == ["model.safetensors", "out"]
    assert {name: Path("out", name).read_bytes() for name in names("out")} == before


def test_without_the_other_program_it_says_how_to_get_it(model_file, monkeypatch, capsys):
    monkeypatch.setattr("transformer.export.formats.base.installed", lambda package: None)
    assert script.main(f"{model_file} {TO} --out out".split()) == 0
    _, second = capsys.readouterr().out.splitlines()
    assert second.startswith("not compared: transformers, which would load it, is not installed")
    assert "pip install -r requirements-export.txt" in second


def test_a_package_that_writing_needs_is_named_before_torch(model_file, monkeypatch):
    from transformer.export.formats.hugging_face import HuggingFace

    monkeypatch.setattr(HuggingFace, "packages", ("transformers", "no_such_package"))
    refuses(f"{model_file} {TO} --out out", "huggingface needs the package no_such_package: pip")


FAULTS = {
    "logits differ by 3.0e-02": ("logits", lambda self, tokens, old: old(self, tokens) * 1.01),
    "logits differ by nan": ("logits", lambda self, tokens, old: old(self, tokens) * float("nan")),
    r"logits \(1, 36": ("logits", lambda self, tokens, old: old(self, tokens)[:, 1:]),
    "the ids of ' ' are ": ("encode", lambda self, text, old: old(self, text)[1:]),
    "the text of the ids of '' is ' '": ("decode", lambda self, ids, old: old(self, ids) + " "),
    "greedy token 3 of": (
        "continued",
        lambda self, tokens, num, old: [
            (token + (place == 2)) % 5 for place, token in enumerate(old(self, tokens, num))
        ],
    ),
    "2 greedy tokens in place of": (
        "continued",
        lambda self, tokens, num, old: old(self, tokens, num)[:2],
    ),
}


@pytest.mark.parametrize("words", FAULTS)
def test_what_computes_something_else_is_not_written(model_file, monkeypatch, words):
    name, change = FAULTS[words]
    old = getattr(ReloadedFolder, name)
    monkeypatch.setattr(ReloadedFolder, name, lambda *given: change(*given, old))
    expected = "greedy token" if words.startswith("greedy") else words
    refuses(f"{model_file} {TO} --out out", f"transformers 5.* something else.*: .*{expected}")
    assert names() == ["model.safetensors"]


def test_two_tokens_that_are_as_likely_but_for_rounding_are_no_fault(
    make_saved, exported, monkeypatch
):
    """Rows 3 and 4 of the head are the same: which of the two comes is chance."""
    import torch

    saved = make_saved(tie_weights=False)
    with torch.no_grad():
        saved.model.lm_head.weight[3:5] *= 40
        saved.model.lm_head.weight[4] = saved.model.lm_head.weight[3]
    old = ReloadedFolder.continued

    def other(self, tokens, num_new):
        return [4 if token == 3 else token for token in old(self, tokens, num_new)]

    monkeypatch.setattr(ReloadedFolder, "continued", other)
    _, (_, compared) = exported(saved)
    assert "greedy tokens are the same" in compared


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "bigram"}, "model bigram: no class of transformers"),
        (LLAMA | {"ngram_size": 2}, r"ngram_size 2 \(the nearest, LlamaForCausalLM, has"),
        ({"positions": "sinusoidal"}, "positions sinusoidal"),
    ],
    ids=str,
)
def test_a_model_that_no_class_computes_is_refused_by_name(make_saved, exported, changes, words):
    with pytest.raises(UserError, match=words):
        exported(make_saved(**changes))


def test_a_model_of_pairs_is_refused_by_name(tmp_path, make_encoder_decoder, monkeypatch):
    from transformer.data.tokenizers.pairs import PairTokenizer, UnitTokenizer
    from transformer.models import build_model

    tokenizer = PairTokenizer(*2 * [UnitTokenizer("characters", ["a", "b"])])
    monkeypatch.chdir(tmp_path)
    shape = make_encoder_decoder().architecture | tokenizer.sizes
    model = build_model(**shape)
    facts = {"tokenizer": tokenizer.state, "architecture": model.architecture}
    save_model("pairs.safetensors", model, facts)
    refuses(f"pairs.safetensors {TO} --out out", "model encoder_decoder: no class of transformers")
    assert names() == ["pairs.safetensors"]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--config CONFIGS/quick.yaml", "ngram_size 3, token_shift true .*default.yaml is a"),
        ("--config CONFIGS/default.yaml --norm_first false", "norm_first false"),
        ("--config CONFIGS/bigram.yaml", "model bigram"),
        ("--config CONFIGS/reverse.yaml", "model encoder_decoder"),
    ],
)
def test_exportable_refuses_keys_that_would_not_export(tmp_path, monkeypatch, flags, words):
    monkeypatch.chdir(tmp_path)
    flags = flags.replace("CONFIGS", str(train.CONFIGS)).split()
    with pytest.raises(UserError, match=words):
        train.parse_arguments([*flags, "--exportable"])
    train.parse_arguments(flags)


@pytest.mark.parametrize("name", ["auto", "default", "qwen3", "gpt2-recipe-cpu", "nine-keys"])
def test_recipes_that_export_are_taken(name):
    train.parse_arguments(["--exportable", "--config", str(train.CONFIGS / f"{name}.yaml")])


def test_a_flag_of_another_format_is_refused():
    from pydantic import Field

    from transformer.config.flags import check_flags
    from transformer.export.options import ExportOptions, only_to

    class Options(ExportOptions):
        bits: int = Field(8, json_schema_extra=only_to("other"))

    with pytest.raises(UserError, match="--bits does not apply to --to huggingface: leave it out"):
        check_flags(Options, {"to": "huggingface", "out": "x", "bits": 4})


def test_load_model_and_export_need_no_file_of_this_program(make_saved, exported):
    folder, _ = exported(make_saved())
    saved = load_model(folder)
    again, lines = exported(saved, "again")
    assert len(lines) == 2
    assert export.__module__ == "transformer.export.exporting"
    assert again.is_dir()
