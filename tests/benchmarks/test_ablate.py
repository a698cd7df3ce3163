"""ablate.py: lists that a sweep takes. whole_runs.py: the same seed gives the same weights."""

import json

import pytest
import torch
from torch import nn

from transformer.config.files import load_config
from transformer.sweep.options import SweepOptions
from transformer.sweep.planning import make_plan
from transformer.system.errors import UserError
from transformer.system.terminal import quiet_libraries
from transformer.tasks.registry import task_of

TINY = """\
batch_size: 3
epochs: 2
lr: 1e-2
data_path: verse.txt
block_size: 7
num_heads: 2
embedding_dim: 22
num_blocks: 1
num_workers: 0
accelerator: cpu
precision: float32
"""


@pytest.fixture
def ablate(load_benchmark):
    return load_benchmark("ablate")


@pytest.fixture
def whole_runs(load_benchmark):
    return load_benchmark("whole_runs")


@pytest.fixture
def home(tmp_path, monkeypatch):
    (tmp_path / "tiny.yaml").write_text(TINY, encoding="utf-8")
    (tmp_path / "verse.txt").write_text("To be, or not to be.\n" * 30, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PL_GLOBAL_SEED", "0")  # Lightning sets it; this takes it back
    return tmp_path


@pytest.mark.parametrize("name", ["options", "recipe", "quick"])
def test_every_change_of_a_list_changes_its_config(ablate, name):
    assert name in ablate.LISTS
    flags = ablate.flags_of(name)
    path, changes = flags[flags.index("--config") + 1], flags[flags.index("--try") + 1 :]
    plan = make_plan(path, {}, SweepOptions(seeds=3), (), changes)
    assert len(plan.changes) == len(changes) > 5


def test_another_name_is_refused(ablate):
    with pytest.raises(UserError, match="no such list: give one of options, recipe, quick"):
        ablate.main(["everything"])


@pytest.mark.slow(seconds=20)
def test_an_ablation_from_end_to_end(ablate, home, monkeypatch, capsys):
    monkeypatch.setattr("record.RESULTS", home)
    monkeypatch.setattr("record.ROOT", home)
    monkeypatch.setattr(ablate, "ROOT", home)
    (home / "configs").mkdir()
    (home / "tiny.yaml").rename(home / "configs" / "tiny.yaml")
    monkeypatch.setitem(ablate.LISTS, "tiny", ("tiny", ("bias=false", "lr=2e-2+batch_size=5")))
    assert ablate.main(["tiny", "--max_steps", "2", "--seeds", "2"]) == 0
    (written,) = home.glob("*/ablate_tiny.json")  # in the folder of this processor
    figures = json.loads(written.read_text(encoding="utf-8"))["figures"]
    assert [len(row["losses"]) for row in figures["combinations"]] == [2, 2, 2]
    assert figures["comparisons"] == 2
    assert "2 comparisons were made" in capsys.readouterr().out


def test_steps_are_timed_after_the_warmup(whole_runs):
    clock = whole_runs.StepClock()
    clock.ends = [0.0, 50.0, 51.0, 52.0, 53.0, 55.0, 58.0, 59.0]  # 2, 3 and 1 after five steps
    assert clock.seconds_per_step() == 2.0


def test_the_same_seed_gives_the_same_weights(whole_runs, home):
    """What pairs runs; and another seed gives others."""
    config = load_config("tiny.yaml")
    corpus = task_of(config.model).read(config)
    quiet_libraries()
    models = [whole_runs.fit(config, corpus, seed, 2)[0] for seed in (1, 1, 2)]
    first, again, other = (nn.utils.parameters_to_vector(m.parameters()) for m in models)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
