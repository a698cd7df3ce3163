"""What export.py writes as ONNX: files, folders, their tokenizers, and the examples of the docs."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
import torch

import export as script
from transformer.data.tokenizers.bpe import BpeTokenizer
from transformer.data.tokenizers.characters import CharacterTokenizer
from transformer.data.tokenizers.pairs import PairTokenizer, PieceTokenizer, UnitTokenizer
from transformer.export.onnx.caches import BlockCache
from transformer.export.onnx.session import Session
from transformer.models import build_model
from transformer.storage.model_file import save_model
from transformer.system.errors import UserError

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs" / "export.md"
PAIRS = PairTokenizer(
    UnitTokenizer("characters", "abcdé漢"), PieceTokenizer(BpeTokenizer.from_text("b a n", 256))
)
OURS = {"ngram_size": 3, "token_shift": True, "activation": "relu2", "norm": "rmsnorm"}


@pytest.fixture
def model_file(tmp_path, make_saved, monkeypatch):
    """Of a model that no class of transformers computes."""
    monkeypatch.chdir(tmp_path)
    saved = make_saved(block_size=16, **OURS)
    facts = {"tokenizer": saved.tokenizer.state, "architecture": saved.architecture}
    save_model("model.safetensors", saved.model, facts)
    return "model.safetensors"


@pytest.fixture
def pair_file(tmp_path, make_encoder_decoder, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = build_model(**make_encoder_decoder().architecture | PAIRS.sizes)
    facts = {"tokenizer": PAIRS.state, "architecture": model.architecture}
    save_model("pairs.safetensors", model, facts)
    return "pairs.safetensors"


def test_a_file_has_its_tokenizer_in_its_metadata(model_file, capsys):
    assert script.main(f"{model_file} --to onnx --out my_model.onnx".split()) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("my_model.onnx: a graph of opset 20 with ")
    assert re.search(r"by onnxruntime 1\S+: logits at 16 positions differ .* hostile", second)
    about = Session(Path("my_model.onnx")).metadata
    assert (about["model"], about["block_size"]) == ("gpt", "16")
    made = CharacterTokenizer.from_spec(json.loads(about["tokenizer.json"]))
    assert made is not None
    assert sorted(os.listdir()) == ["model.safetensors", "my_model.onnx"]


def test_a_folder_holds_the_same_file_and_its_metadata_beside_it(model_file):
    for out in ("my_model.onnx", "my_model/"):
        script.main(f"{model_file} --to onnx --out {out}".split())
    assert sorted(os.listdir("my_model")) == ["about.json", "model.onnx", "tokenizer.json"]
    folder, file = Path("my_model"), Path("my_model.onnx")
    assert (folder / "model.onnx").read_bytes() == file.read_bytes()
    about = {prop.key: prop.value for prop in onnx.load(file).metadata_props}
    assert json.loads(about.pop("tokenizer.json")) == json.loads(
        (folder / "tokenizer.json").read_text(encoding="utf-8")
    )
    found = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    assert {name: str(value) for name, value in found.items()} == about


def test_a_model_of_pairs_is_a_folder_of_two_graphs(pair_file, capsys):
    with pytest.raises(UserError, match="is two graphs, so --out must be a folder, got the file"):
        script.main(f"{pair_file} --to onnx --out out.onnx".split())
    assert os.listdir() == ["pairs.safetensors"]
    script.main(f"{pair_file} --to onnx --out out".split())
    assert "8 greedy tokens of each of 5 sources are the same" in capsys.readouterr().out
    source = json.loads(Path("out/source_tokenizer.json").read_text(encoding="utf-8"))
    assert source == PAIRS.source.state
    spec = json.loads(Path("out/target_tokenizer.json").read_text(encoding="utf-8"))
    assert spec == BpeTokenizer.from_text("b a n", 256).spec
    assert json.loads(Path("out/about.json").read_text(encoding="utf-8"))["num_specials"] == 3


@pytest.mark.parametrize("kind", ["model_file", "pair_file"])
def test_a_graph_that_computes_something_else_is_not_written(kind, request, monkeypatch):
    file = request.getfixturevalue(kind)
    monkeypatch.setattr("transformer.export.onnx.attention._LOWEST", -0.5)
    with pytest.raises(UserError, match=r"onnxruntime 1\S+ computes something else.*: logits diff"):
        script.main(f"{file} --to onnx --out out".split())
    assert os.listdir() == [file]


def test_a_wrong_past_is_found_although_the_logits_without_it_are_right(model_file, monkeypatch):
    append = BlockCache.append

    def swapped(self, key, value):
        found = append(self, key, value)
        self.present = found[::-1]
        return found

    monkeypatch.setattr(BlockCache, "append", swapped)
    with pytest.raises(UserError, match="greedy token"):
        script.main(f"{model_file} --to onnx --out out".split())


def test_a_graph_that_onnxruntime_does_not_take_is_one_line(model_file, monkeypatch):
    monkeypatch.setattr("transformer.export.onnx.parts._HIGH", 0)
    with pytest.raises(UserError, match="something else, so nothing is written: it fails: ") as got:
        script.main(f"{model_file} --to onnx --out out".split())
    assert "\n" not in str(got.value)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--out model.safetensors/x.onnx", "is a file, not a folder: give another --out"),
        ("--out folder.onnx --force", "folder.onnx is a folder: --out must be a file"),
        ("--out model.safetensors --force", "is a file: --out must be a folder"),
        ("--out . --force", "and is no folder of an export"),
        ("--out out.onnx --opset 17", "unknown flag '--opset'"),
    ],
)
def test_bad_flags_are_one_line_and_write_nothing(model_file, flags, words):
    os.mkdir("folder.onnx")
    with pytest.raises(UserError, match=words):
        script.main(f"{model_file} --to onnx {flags}".split())
    assert sorted(os.listdir()) == ["folder.onnx", "model.safetensors"]
    assert os.listdir("folder.onnx") == []


def test_more_parameters_than_a_file_holds_are_refused(model_file, monkeypatch):
    monkeypatch.setattr("transformer.export.onnx.files._MOST_BYTES", 2**24)
    with pytest.raises(UserError, match="parameters are more than the 2 GB of an ONNX file: give"):
        script.main(f"{model_file} --to onnx --out out".split())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["model_file", "pair_file"])
def test_graphs_are_written_without_onnxruntime_too(kind, request):
    file = request.getfixturevalue(kind)
    code = f"import sys; sys.modules['onnxruntime'] = None; sys.path.insert(0, {str(ROOT)!r})\n"
    code += f"import export; export.main('{file} --to onnx --out out'.split())"
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    assert "not compared: onnxruntime, which would load it, is not installed" in done.stdout


def example(language):
    section = re.search(r"\n## ONNX\n(.*?)\n## ", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert section is not None
    (code,) = re.findall(rf"```{language}\n(.*?)```", section[1], re.DOTALL)
    assert len(code.splitlines()) <= 40
    return code


def our_text(make_saved, number):
    saved = make_saved(block_size=16, **OURS)
    tokens = torch.from_numpy(saved.tokenizer.encode("To ")).long()
    rows = saved.model.generate(tokens[None], max_new_tokens=number, temperature=0.0)
    return saved.tokenizer.decode(rows[0].numpy())


NUM_NEW = 60  # several windows of 16


@pytest.mark.slow
def test_the_example_in_python_writes_our_text_past_block_size_without_torch(
    model_file, make_saved
):
    script.main(f"{model_file} --to onnx --out my_model.onnx".split())
    without = "import sys; sys.modules['torch'] = sys.modules['transformer'] = None\n"
    Path("write.py").write_text(without + example("python"), encoding="utf-8")
    command = [sys.executable, "write.py", "my_model.onnx", "To ", str(NUM_NEW), "0"]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=True)
    assert done.stdout == our_text(make_saved, NUM_NEW) + "\n"
    assert done.stderr == ""
    command[-1] = "0.8"
    drawn = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=True)
    assert drawn.stdout.startswith("To ")
    assert drawn.stdout != done.stdout


@pytest.mark.slow
def test_the_example_in_javascript_writes_our_text_past_block_size(model_file, make_saved):
    """With `npm install onnxruntime-web @huggingface/tokenizers`, in the folder above NODE_PATH."""
    modules, node = os.environ.get("NODE_PATH"), shutil.which("node")
    if not node or not modules or not Path(modules, "onnxruntime-web").is_dir():
        pytest.skip("needs node, and NODE_PATH of a node_modules with onnxruntime-web")
    script.main(f"{model_file} --to onnx --out my_model".split())
    os.symlink(modules, "node_modules")
    Path("write.mjs").write_text(example("javascript"), encoding="utf-8")
    command = [node, "write.mjs", "my_model", "To ", str(NUM_NEW)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=True)
    assert done.stdout == our_text(make_saved, NUM_NEW) + "\n"
