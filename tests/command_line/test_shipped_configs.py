"""Every file in configs/ loads, builds at its full size and trains."""

import json
import math
import re
import sys
from pathlib import Path

import pytest
import torch

from transformer.config.files import load_config, read_settings
from transformer.models import build_model

ROOT = Path(__file__).parents[2]
ALL = sorted((ROOT / "configs").glob("*.yaml"))
CONFIGS = [path for path in ALL if not path.stem.startswith("auto")]  # planned: tests/run/planning
SMALL = {"embedding_dim": 32, "num_heads": 2, "num_blocks": 2}
MOST_WIDTH = 256  # of a model that a test trains as it is


def test_there_are_configs():
    assert {"default", "bigram"} <= {path.stem for path in CONFIGS}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_shipped_config_builds_at_full_size(path):
    config = load_config(path)
    pairs = config.model == "encoder_decoder"
    sizes = {"vocab_size": 67} | ({"source_vocab_size": 67} if pairs else {})
    model = build_model(**config.architecture(**sizes)).eval()
    tokens = torch.full((1, config.block_size), 3)
    with torch.inference_mode():
        logits = model(tokens, tokens) if pairs else model(tokens)
    assert logits.shape == (1, config.block_size, 67)
    # The loss of a fresh model is that of guessing, ln V; logits of variance 1 add a half to it.
    guessing = -math.log(67) - 0.5 * pairs
    assert logits.log_softmax(-1).mean() == pytest.approx(guessing, abs=0.2)
    assert path.read_text(encoding="utf-8").startswith("#")


@pytest.mark.slow
@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_shipped_config_trains_a_step(train_here, summary_of, tmp_path, path):
    given = read_settings(path)
    text = (tmp_path / "hamlet.txt").read_text() * (16 if "vocab_size" in given else 4)
    if given.get("model") and given["model"].value == "encoder_decoder":
        words = sorted(set(re.findall("[a-z]{1,12}", text)))
        text = "".join(f"{word}\t{word[::-1]}\n" for word in words)
    (tmp_path / "longer.txt").write_text(text)
    changes = {"data_path": "longer.txt", "batch_size": 2, "max_steps": 1, "accelerator": "cpu"}
    changes |= {"num_workers": 0, "compile": False}
    if given["embedding_dim"].value > MOST_WIDTH:
        changes |= SMALL
    summary = summary_of(train_here(str(path), **changes))
    assert summary["step"] == 1
    # ln 42 = 3.7 at the start, a half more of pairs; of some 600 pieces, ln 600 = 6.4.
    assert 2 < summary["val_loss"] < (7.5 if "vocab_size" in given else 5.5)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="its memory is read the POSIX way")
def test_the_nine_key_file_as_it_stands_makes_a_step_in_under_20_gb(run, tmp_path):
    """The file names data/input.txt, which is built on first use, so this is the whole set-up."""
    # Its own process asks for its own peak, whatever the other tests' children took.
    program = (
        "import resource, sys, train\n"
        "train.main(sys.argv[1:])\n"
        "print('peak kB', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    (tmp_path / "peak.py").write_text(f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n{program}")
    flags = ["--config", ROOT / "configs" / "nine-keys.yaml", "--max_steps", "1"]
    flags += ["--val_fraction", "0.01"]  # scoring a tenth would take minutes
    result = run(tmp_path / "peak.py", *flags, cwd=tmp_path, OMP_NUM_THREADS="2")
    assert result.returncode == 0, result.stderr
    unit = 1 if sys.platform == "darwin" else 1024
    assert int(result.stdout.split()[-1]) * unit < 20e9


@pytest.mark.slow
@pytest.mark.long
def test_reversing_words_is_learned_wholly_by_the_shipped_config(tmp_path, run):
    config = ROOT / "configs" / "reverse.yaml"
    result = run("train.py", "--config", config, cwd=tmp_path, python=("-W", "error"))
    assert result.returncode == 0, result.stderr
    (path,) = tmp_path.glob("runs/reverse/version_0/summary.json")
    summary = json.loads(path.read_text(encoding="utf-8"))
    assert summary["val_word_error_rate"] == 0
