"""docs/extending.md is followed in a copy of the package, from the code on the page alone."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
NEW_FILE = re.compile(
    r"^`(transformer/[\w/]+\.py)`:\n\n```python\n(.*?)^```$", re.MULTILINE | re.DOTALL
)
TEXT = "The Quick Brown Fox jumps over THE LAZY DOG.\n" * 60
KEYS = """
batch_size: 4
epochs: none
max_steps: 4
lr: 0.01
data_path: fox.txt
block_size: 16
num_heads: 1
embedding_dim: 8
num_blocks: 1
num_workers: 0
"""
# Both walks in one process, which imports torch once.
USE = """
import train, generate, evaluate, explain
flags = ["--tokenizer", "lowercase", "--model", "moving_average", "--window", "3"]
train.main(["--config", "tiny.yaml", *flags])
import sys
unused = {"torch._dynamo", "torch._inductor", "torchmetrics.functional", "torch.distributed.tensor"}
assert not unused & set(sys.modules), "a run that compiles nothing imports its compiler"
generate.main(["--prompt", "The Quick", "--max_new_tokens", "5", "--seed", "1"])
evaluate.main(["--json"])
explain.main(["--prompt", "The Quick"])
train.main(["--resume", "--max_steps", "6"])
import json, torch, transformer
model = transformer.load("runs/tiny/version_0/model.safetensors").model
tokens = torch.randint(20, (2, 16), generator=torch.Generator().manual_seed(0))
cache = model.make_cache(2)
step = torch.cat([model(tokens[:, :5], cache=cache), model(tokens[:, 5:6], cache=cache)], dim=1)
assert torch.allclose(step, model(tokens)[:, :6], atol=1e-6), "a cache changes the logits"
"""


def files() -> dict[str, str]:
    found = dict(NEW_FILE.findall(PAGE))
    assert len(found) == 3
    return found


def walked(folder: Path) -> None:
    """Copies the package, and writes the new files of the page into the copy: no other changes."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "transformer", folder / "transformer", ignore=ignored)
    for script in ROOT.glob("*.py"):
        shutil.copy(script, folder)
    for name, code in files().items():
        assert not (folder / name).exists()
        (folder / name).write_text(code, encoding="utf-8")


def run(folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, encoding="utf-8"
    )


@pytest.mark.slow
def test_a_tokenizer_and_a_family_are_trained_used_and_resumed_with_no_other_file_touched(tmp_path):
    walked(tmp_path)
    (tmp_path / "fox.txt").write_text(TEXT, encoding="utf-8")
    (tmp_path / "tiny.yaml").write_text(KEYS, encoding="utf-8")
    done = run(tmp_path, USE)
    assert done.returncode == 0, done.stderr
    config = (tmp_path / "runs" / "tiny" / "version_0" / "config.yaml").read_text(encoding="utf-8")
    assert {"tokenizer: lowercase", "model: moving_average", "window: 3"} <= set(config.split("\n"))
    assert '"units": "characters"' in done.stdout
    assert "the quick" not in done.stdout  # a prompt is shown as it was given
    assert "The Quick" in done.stdout


def test_keys_and_checks_follow_from_the_new_files(tmp_path):
    mistakes = {
        "--model moving_average --window 0": "window must be greater than 0, got '0'",
        "--window 3": "window does not apply to model: gpt; remove it",
        "--tokenizer upper": "'characters' or 'lowercase' or a file that ends in",
        "--model moving": "'bigram', 'encoder_decoder' or 'moving_average', got 'moving'",
    }
    walked(tmp_path)
    (tmp_path / "tiny.yaml").write_text(KEYS, encoding="utf-8")
    code = f"""
import train
for flags in {list(mistakes)}:
    try:
        train.parse_arguments(["--config", "tiny.yaml", *flags.split()])
    except train.UserError as error:
        print(error)
"""
    done = run(tmp_path, code)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert len(said) == len(mistakes)
    assert all(expected in line for expected, line in zip(mistakes.values(), said, strict=True))


def test_every_file_that_a_walk_names_is_there_or_new():
    """A name that ends in a slash is a folder; `labels` stands for a task of one's own."""
    named = set(re.findall(r"`(transformer/[\w/]+(?:\.py|/))`", PAGE)) - set(files())
    assert {name for name in named if "label" not in name and not (ROOT / name).exists()} == set()
