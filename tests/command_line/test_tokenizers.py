"""Bytes and byte pairs through the command line: train, evaluate, generate, explain, resume."""

import json

import pytest
from safetensors import safe_open

import evaluate
import explain
import generate
import train
from tests.marks import first_fast
from transformer.storage.model_file import load_model
from transformer.system.errors import UserError

ODD = "漢字 and 🙂 <|endoftext|>\n"
KINDS = {
    "bytes": ["--tokenizer", "bytes"],
    "bpe": ["--tokenizer", "bpe", "--vocab_size", "300"],
}


def train_tiny(call, kind, *flags):
    return call(train, "--config", "tiny.yaml", "--max_steps", 4, *KINDS[kind], *flags)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_user_trains_evaluates_writes_explains_and_resumes(run, tmp_path, write_inputs, kind):
    """In processes of their own, and with every warning an error."""

    def script(name, *flags):
        result = run(f"{name}.py", *flags, cwd=tmp_path, python=("-W", "error"))
        assert result.returncode == 0, result.stderr
        return result.stdout

    write_inputs(tmp_path)
    out = script("train", "--config", "tiny.yaml", "--max_steps", 40, *KINDS[kind])
    assert "val_bits_per_byte" in out
    assert "bits per byte)" in out
    assert ("300" if kind == "bpe" else "257") in out
    summary = json.loads((tmp_path / "runs/tiny/version_0/summary.json").read_text())
    report = json.loads(script("evaluate", "--json"))
    assert report["scores"]["model"]["loss"] == pytest.approx(summary["val_loss"], rel=1e-6)
    bits = {name: score["bits_per_byte"] for name, score in report["scores"].items()}
    assert set(bits) == {"model", "bigram", "unigram", "xz"}
    written = script("generate", "--prompt", ODD, "--max_new_tokens", 9, "--seed", 1)
    assert written.startswith(ODD)
    (line,) = script("generate", "--prompt", ODD, "--json", "--max_new_tokens", 9).splitlines()
    assert json.loads(line)["prompt"] == ODD
    unit = {"bpe": "pieces", "bytes": "bytes"}[kind]
    assert f" {unit}, " in script("explain", "--prompt", ODD)
    out = script("train", "--resume", "--max_steps", 45)
    assert "going on from step 40 of 45" in out
    assert json.loads((tmp_path / "runs/tiny/version_0/summary.json").read_text())["step"] == 45


@pytest.mark.parametrize("kind", first_fast(["bpe", "bytes"]))
def test_the_pieces_travel_in_the_models_file_and_in_checkpoints_as_text(call, tmp_path, kind):
    train_tiny(call, kind)
    folder = tmp_path / "runs/tiny/version_0"
    models = [load_model(folder / name) for name in ("model.safetensors", "checkpoints/last.ckpt")]
    assert models[0].tokenizer.state == models[1].tokenizer.state
    assert models[0].tokenizer.decode(models[0].tokenizer.encode(ODD)) == ODD
    with safe_open(folder / "model.safetensors", "numpy") as file:
        state = json.loads(file.metadata()["tokenizer"])
    assert state["kind"] == kind
    (tmp_path / "hamlet.txt").rename(tmp_path / "moved.txt")  # no other file is needed
    assert call(generate, folder, "--prompt", ODD, "--max_new_tokens", 3).startswith(ODD)


def test_a_resumed_run_keeps_its_pieces_and_refuses_another_number(call, tmp_path, monkeypatch):
    train_tiny(call, "bpe")
    for flags in (["--vocab_size", 310], ["--min_frequency", 3]):
        key, value = flags[0].strip("-"), flags[1]
        was = {"vocab_size": 300, "min_frequency": 2}[key]
        with pytest.raises(UserError, match=f"was trained with {key}={was}, not {value}: leave it"):
            train.main(["--resume", "--max_steps", "6", *map(str, flags)])
    with pytest.raises(UserError, match="was trained with tokenizer=bpe, not bytes"):
        train.main(["--resume", "--max_steps", "6", "--tokenizer", "bytes", "--vocab_size", "auto"])
    monkeypatch.setattr("transformer.data.tokenizers.bpe.learned", None)  # not learned again
    assert "step 6" in call(train, "--resume", "--max_steps", 6)


@pytest.mark.slow
def test_auto_is_a_number_in_the_runs_config_and_a_resume_leaves_it(call, tmp_path):
    out = call(train, "--config", "tiny.yaml", "--max_steps", 3, "--tokenizer", "bpe")
    config = (tmp_path / "runs/tiny/version_0/config.yaml").read_text()
    (size,) = [line for line in config.splitlines() if line.startswith("vocab_size: ")]
    assert f"of a vocabulary of {size.split()[1]}" in out
    assert "step 5" in call(train, "--resume", "--max_steps", 5)


@pytest.mark.slow
def test_any_file_is_read_by_bytes_and_the_loss_has_no_characters(call, tmp_path):
    data = bytes(range(256)) * 20 + b"\r\n\xff\x00" * 200
    (tmp_path / "anything.bin").write_bytes(data)
    train_tiny(call, "bytes", "--data_path", "anything.bin")
    summary = json.loads((tmp_path / "runs/tiny/version_0/summary.json").read_text())
    assert "val_bits_per_char" not in summary
    assert summary["val_bits_per_byte"] > 0
    report = json.loads(call(evaluate, "--json"))
    assert report["split"] == "validation"
    assert report["scores"]["model"]["bits_per_char"] is None
    assert report["scores"]["model"]["loss"] == pytest.approx(summary["val_loss"], rel=1e-6)
    assert "bits per byte" in call(evaluate)
    (tmp_path / "prompt.bin").write_bytes(b"\xff\xfe\x00ab")
    out = call(generate, "--prompt_file", "prompt.bin", "--max_new_tokens", 3, "--json")
    assert len(json.loads(out)["bytes"]) == 3


@pytest.mark.slow
def test_a_models_tokenizer_is_taken_for_another_text(call, tmp_path):
    train_tiny(call, "bpe")
    model = tmp_path / "runs/tiny/version_0/model.safetensors"
    saved = load_model(model).tokenizer
    saved.library.save("tokenizer.json")
    for number, path in enumerate((model, "tokenizer.json"), start=1):
        call(train, "--config", "tiny.yaml", "--max_steps", 2, "--tokenizer", path)
        made = load_model(tmp_path / f"runs/tiny/version_{number}/model.safetensors")
        assert made.tokenizer.spec["model"] == saved.spec["model"]
        assert str(path) in (tmp_path / f"runs/tiny/version_{number}/config.yaml").read_text()
    (tmp_path / "tokenizer.json").unlink()
    call(train, "--resume", "runs/tiny/version_2", "--max_steps", 3)


def write_json(name, content):
    with open(name, "w", encoding="utf-8") as file:
        json.dump(content, file)


BAD = {
    "--tokenizer words": "tokenizer must be 'bpe', 'bytes' or 'characters' or a file that ends in",
    "--tokenizer gone.json": "gone.json: no such tokenizer file",
    "--tokenizer gone.safetensors": "gone.safetensors: no such tokenizer file",
    "--tokenizer broken.json": "broken.json: damaged: not JSON",
    "--tokenizer list.json": "list.json: not a file of Hugging Face's tokenizers",
    "--tokenizer other.json": "other.json: cannot be used as a tokenizer: it is of the kind WordPi",
    "--tokenizer broken.safetensors": "broken.safetensors: damaged or not a model: it has no",
    "--tokenizer bpe --vocab_size 256": "vocab_size must be at least 257 or 'auto', got '256'",
    "--tokenizer bpe --vocab_size many": "vocab_size must be a whole number or 'auto', got 'many'",
    "--tokenizer bpe --min_frequency 0": "min_frequency must be greater than 0, got '0'",
    "--tokenizer bytes --vocab_size 300": "vocab_size 300 does not apply to tokenizer: bytes",
    "--vocab_size 300": "vocab_size 300 does not apply to tokenizer: characters; leave it out, or",
    "--min_frequency 3": "min_frequency 3 does not apply to tokenizer: characters; leave it out",
    "--tokenizer bpe --data_path latin1.txt": "latin1.txt: not UTF-8 at byte 1",
}


@pytest.mark.parametrize("flags", BAD)
def test_bad_input_is_one_line_with_the_value_and_a_way_out(flags, tmp_path, monkeypatch, request):
    request.getfixturevalue("write_inputs")(tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.json").write_text('{"model"')
    (tmp_path / "broken.safetensors").write_bytes(b"x" * 50)
    (tmp_path / "latin1.txt").write_bytes(b"a\xe9" * 900)
    write_json("list.json", [])
    write_json("other.json", {"model": {"type": "WordPiece", "vocab": {"a": 0}}})
    with pytest.raises(UserError) as caught:
        train.main(["--config", "tiny.yaml", *flags.split()])
    assert BAD[flags] in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "runs").exists()


def test_explaining_bytes_counts_them(call, tmp_path):
    train_tiny(call, "bytes")
    out = call(explain, "--prompt", "to 漢", "--out", "a.html")
    assert out.startswith("a.html: 6 bytes, ")
    assert "bits per byte" in out
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert r"\\xe6" in page
    assert '"word":"byte"' in page


@pytest.mark.slow
def test_pairs_of_pieces_are_trained_evaluated_used_and_resumed(call, tmp_path):
    words = [f"walk{n}\twalked {n}" for n in range(120)]
    (tmp_path / "words.tsv").write_text("\n".join(words), encoding="utf-8")
    keys = (tmp_path / "tiny.yaml").read_text().replace('sample_prompt: "To "', "")
    (tmp_path / "pairs.yaml").write_text(keys)
    flags = ["--model", "encoder_decoder", "--data_path", "words.tsv"]
    flags += ["--source_units", "pieces", "--target_units", "pieces", "--vocab_size", 280]
    call(train, "--config", "pairs.yaml", *flags, "--max_steps", 4)
    assert "sources wrong" in call(evaluate)
    assert call(generate, "--prompt", "walk1 漢").endswith("\n")
    assert "units, " in call(explain, "--prompt", "walk3")
    assert "step 6" in call(train, "--resume", "--max_steps", 6)
