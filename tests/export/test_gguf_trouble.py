"""What goes wrong with a GGUF file on the command line: one line, and nothing is left of it."""

import os
from pathlib import Path

import pytest

import export as script
from transformer.storage.model_file import save_model
from transformer.system.errors import UserError

pytest.importorskip("gguf")

LLAMA = "LlamaForCausalLM"


@pytest.fixture
def model_file(tmp_path, make_saved, monkeypatch):
    monkeypatch.chdir(tmp_path)
    saved = make_saved(LLAMA)
    facts = {"tokenizer": saved.tokenizer.state, "architecture": saved.architecture}
    save_model("model.safetensors", saved.model, facts)
    return "model.safetensors"


@pytest.fixture
def without_llama_cpp(model_file, monkeypatch):
    monkeypatch.setattr("transformer.export.formats.base.installed", lambda package: None)


def exports(flags):
    return script.main(f"model.safetensors --to gguf {flags}".split())


def refuses(flags, words):
    before = sorted(os.listdir())
    with pytest.raises(UserError, match=words) as caught:
        exports(flags)
    assert "\n" not in str(caught.value)
    assert sorted(os.listdir()) == before


@pytest.mark.usefixtures("without_llama_cpp")
def test_a_file_is_replaced_by_force_alone(capsys):
    assert exports("--out deep/my.gguf --format f16") == 0
    assert capsys.readouterr().out.startswith("deep/my.gguf: a llama with ")
    before = Path("deep/my.gguf").read_bytes()
    refuses("--out deep/my.gguf", "my.gguf exists: give another --out, or --force to replace it")
    assert Path("deep/my.gguf").read_bytes() == before
    assert exports("--out deep/my.gguf --force") == 0
    assert len(Path("deep/my.gguf").read_bytes()) > len(before)
    assert os.listdir("deep") == ["my.gguf"]


@pytest.mark.usefixtures("model_file")
def test_bad_flags_are_one_line_and_write_nothing():
    os.mkdir("folder")
    refuses("--out my.gguf --format q8_0", "blocks of 32.* embedding_dim=24: give --format f16")
    refuses(
        "--out my.gguf --format q4_0",
        "format must be 'f32', 'f16' or 'q8_0' with --to gguf, got 'q4_0'",
    )
    refuses("--out folder --force", "folder is a folder: --out must be a file")
    refuses("--out model.safetensors/my.gguf", "is a file, not a folder")


@pytest.mark.usefixtures("without_llama_cpp")
@pytest.mark.parametrize("where", ["their_tensors", "end_row", "GGUFWriter.write_tensors_to_file"])
def test_a_full_disk_leaves_nothing_and_keeps_what_was_there(monkeypatch, where):
    exports("--out my.gguf")
    before = Path("my.gguf").read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(f"transformer.export.gguf.file.{where}", full)
    for out in ("my.gguf", "new.gguf"):
        with pytest.raises(OSError, match="No space left"):
            exports(f"--out {out} --force")
    assert sorted(os.listdir()) == ["model.safetensors", "my.gguf"]
    assert Path("my.gguf").read_bytes() == before


@pytest.mark.usefixtures("model_file")
def test_a_file_in_which_llama_cpp_computes_something_else_is_not_written(monkeypatch):
    """Such as one with the rows of queries and keys in transformers' order."""
    pytest.importorskip("xllamacpp")
    from transformer.export.gguf.architectures import Llama

    monkeypatch.setattr(Llama, "array", classmethod(lambda cls, name, theirs, settings: theirs))
    with pytest.raises(UserError, match=r"xllamacpp 20.* something else.*: logits differ by"):
        exports("--out my.gguf")
    assert os.listdir() == ["model.safetensors"]


@pytest.mark.usefixtures("model_file")
def test_a_file_that_llama_cpp_does_not_load_is_not_written(monkeypatch):
    """It refuses a way of cutting words that it does not know: llama.cpp#9927."""
    pytest.importorskip("xllamacpp")
    monkeypatch.setattr("transformer.export.gguf.vocabulary.split_of", lambda spec: "nonsense")
    refuses("--out my.gguf", "nothing is written: llama.cpp does not load the file: .*; try")
