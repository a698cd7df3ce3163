"""A config of a small run on a CPU, whose choices are given."""

import pytest

from transformer.config.files import load_config

KEYS = """\
batch_size: 2
epochs: 1000
max_steps: 200
lr: 1e-3
data_path: corpus.txt
block_size: 8
num_heads: 2
embedding_dim: 16
num_blocks: 1
num_workers: 0
accelerator: cpu
precision: float32
attention: fused
num_threads: 1
cache_dir: cache
"""


@pytest.fixture
def config_of(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "corpus.txt").write_text("to be or not to be " * 40, encoding="utf-8")
    (tmp_path / "config.yaml").write_text(KEYS, encoding="utf-8")
    return lambda **changes: load_config(tmp_path / "config.yaml", changes)
