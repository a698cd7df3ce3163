"""What a run imports, and that libraries then work as if all of them had been imported."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# In this order: a run, then what imports the rest.
PROGRAM = """
import sys
import train
from transformer.config.files import load_config
train.train(load_config("tiny.yaml"))
heavy = {"torch._dynamo", "torch._inductor", "torch.distributed.tensor"}
heavy |= {"torchmetrics.functional", "matplotlib"}
print(sorted(heavy & set(sys.modules)))

import torch
from pytorch_lightning.utilities.compile import OptimizedModule
layer = torch.nn.Linear(2, 2)
print(isinstance(layer, OptimizedModule), end=" ")
compiled = torch.compile(layer, backend="eager")
same = torch.equal(compiled(torch.ones(2)), layer(torch.ones(2)))
print(isinstance(compiled, OptimizedModule), same)

import torchmetrics
print(torchmetrics.Accuracy(task="binary"), torchmetrics.functional.accuracy.__name__)
from torch.distributed.tensor import DTensor
print(DTensor.__module__)
"""


SCRIPTS = sorted(path.stem for path in ROOT.glob("*.py"))
BEFORE_A_RUN = f"""
import sys, {", ".join(SCRIPTS)}
heavy = {{"torch", "pytorch_lightning", "matplotlib"}}
print(sorted(heavy & set(sys.modules)))
from transformer.run import fit, resuming
print(sorted(heavy & set(sys.modules)))
"""


def test_scripts_import_no_torch_at_once_and_what_checks_a_run_imports_no_lightning():
    """Imported by them, Lightning would come whole: with the compiler, metrics and plots."""
    command = [sys.executable, "-c", BEFORE_A_RUN]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
    assert done.stdout == "[]\n['torch']\n", done.stderr


@pytest.mark.slow
def test_a_run_imports_no_compiler_metrics_or_plots_and_they_are_there_later(tmp_path):
    (tmp_path / "text.txt").write_text("A text to learn by heart. " * 20, encoding="utf-8")
    config = "batch_size: 2\nepochs: none\nmax_steps: 1\nlr: 0.01\ndata_path: text.txt\n"
    config += "block_size: 8\nnum_heads: 1\nembedding_dim: 8\nnum_blocks: 1\nnum_workers: 0\n"
    (tmp_path / "tiny.yaml").write_text(config, encoding="utf-8")
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{PROGRAM}"
    command = [sys.executable, "-W", "error::UserWarning", "-c", program]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    *_, heavy, optimized, metrics, tensor = done.stdout.strip().split("\n")
    assert heavy == "[]"
    assert optimized == "False True True"
    assert metrics == "BinaryAccuracy() accuracy"
    assert tensor.startswith("torch.distributed.tensor")


PLOTTING = """
import gc, sys
from transformer.system.lean_imports import import_lightning
import_lightning()
print("matplotlib" in sys.modules, gc.get_freeze_count() > 100_000)
import torch, torchmetrics
metric = torchmetrics.Accuracy(task="binary")
metric.update(torch.tensor([1.0, 0.0]), torch.tensor([1, 1]))
figure, axes = metric.plot()
print(type(figure).__name__, type(axes).__name__)
"""


@pytest.mark.slow
def test_lightning_needs_no_matplotlib_before_a_metric_is_plotted():
    """And what was imported is not looked at again when garbage is collected."""
    command = [sys.executable, "-W", "error::UserWarning", "-c", PLOTTING]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
    assert done.stdout.split("\n")[:2] == ["False True", "Figure Axes"], done.stderr
