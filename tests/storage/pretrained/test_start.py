"""A run starts from a folder of another program: its model, its tokenizer, any text."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from tests.command_line.conftest import TEXT
from transformer.storage.model_file import load_model
from transformer.storage.pretrained.folder import read_pretrained

ROOT = Path(__file__).parents[3]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["GPT2", "Llama", "Qwen3"])
def test_the_first_weights_of_a_run_are_those_of_the_folder(save, tmp_path, kind):
    folder, _ = save(kind)
    (tmp_path / "own.txt").write_text(TEXT + "漢字 🙂 ÄÖÜ\n" * 40, encoding="utf-8")
    flags = f"--start_from {folder} --data_path own.txt --max_steps 1 --lr 1e-30 --block_size 16"
    result = subprocess.run(
        [sys.executable, ROOT / "train.py", *flags.split(), "--cache_dir", tmp_path / "cache"],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        encoding="utf-8",
    )
    assert result.returncode == 0, result.stderr
    saved = load_model(tmp_path / "runs" / f"from-{kind}" / "version_0" / "model.safetensors")
    theirs = read_pretrained(folder)
    assert saved.tokenizer.state == theirs.tokenizer.state
    assert saved.config["block_size"] == 16
    tokens = torch.arange(16)[None]
    assert_close(saved.model(tokens), theirs.model()(tokens))
