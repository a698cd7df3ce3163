"""benchmarks/ablate.py: switches, the interval, equal time, and a run from end to end."""

import importlib.util
import json
import math
from pathlib import Path

import pytest

from transformer.config_files import load_config
from transformer.errors import UserError

ROOT = Path(__file__).parents[2]

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
def ablate(monkeypatch):
    """Loaded as `python benchmarks/ablate.py` loads it, its neighbours beside it."""
    path = ROOT / "benchmarks" / "ablate.py"
    monkeypatch.syspath_prepend(str(path.parent))
    spec = importlib.util.spec_from_file_location("ablate", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def home(tmp_path, monkeypatch):
    (tmp_path / "tiny.yaml").write_text(TINY, encoding="utf-8")
    (tmp_path / "verse.txt").write_text("To be, or not to be.\n" * 30, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PL_GLOBAL_SEED", "0")  # Lightning sets it; this takes it back
    return tmp_path


@pytest.mark.parametrize(
    ("switch", "changes"),
    [
        ("bias", {"bias": False}),
        ("qk_norm", {"qk_norm": True}),
        ("norm=rmsnorm", {"norm": "rmsnorm"}),
        ("qk_norm=true", {"qk_norm": True}),
        ("feedforward_dim=null", {"feedforward_dim": None}),
        ("optimizer=muon+lr=3e-3+bias", {"optimizer": "muon", "lr": "3e-3", "bias": False}),
    ],
)
def test_a_switch_is_read_as_a_config_file_would_be(ablate, home, switch, changes):
    assert ablate.parse_switch(switch, load_config("tiny.yaml")) == changes


def test_values_of_a_switch_reach_the_variant_and_no_other(ablate, home):
    configs = ablate.make_configs(Path("tiny.yaml"), ["bias", "lr=3e-3+dropout=0.2"], None)
    assert list(configs) == ["base", "bias", "lr=3e-3+dropout=0.2"]
    assert configs["base"] == load_config("tiny.yaml")
    assert configs["bias"] == load_config("tiny.yaml", {"bias": False})
    assert configs["lr=3e-3+dropout=0.2"] == load_config("tiny.yaml", {"lr": 0.003, "dropout": 0.2})


@pytest.mark.parametrize(
    ("switches", "match"),
    [
        (["qk_nrom"], "unknown key 'qk_nrom': did you mean qk_norm"),
        (["norm"], "norm is 'layernorm', no boolean: give norm=VALUE"),
        (["norm=batchnorm"], "norm must be"),
        (["seed=3"], "seed must be the same for all"),
        (["lr=1e-3+lr=3e-3"], "lr stands there twice"),
        (["lr=0.01"], "changes nothing"),
        (["bias", "bias"], "stands there twice"),
    ],
)
def test_a_wrong_switch_is_refused(ablate, home, switches, match):
    with pytest.raises(UserError, match=match):
        ablate.make_configs(Path("tiny.yaml"), switches, None)


def test_interval_is_that_of_the_paired_t_test(ablate):
    """Mean 2, standard deviation 1, three seeds: 2 +- 4.303 / sqrt(3)."""
    center, low, high = ablate.interval([1.0, 2.0, 3.0])
    assert center == 2
    assert high - center == pytest.approx(4.303 / 3**0.5)
    assert center - low == pytest.approx(4.303 / 3**0.5)


def test_interval_of_many_seeds_takes_the_last_quantile(ablate):
    differences = [1.0, -1.0] * 20
    spread = (40 / 39) ** 0.5
    assert ablate.interval(differences)[2] == pytest.approx(2.086 * spread / 40**0.5)


def test_a_variant_twice_as_costly_pays_one_halving_of_steps(ablate):
    """Of a base that loses 0.1 from N / 2 to N steps."""
    slope = -0.1 / math.log(2)
    assert ablate.at_equal_time(-0.25, slope, 2.0) == pytest.approx(-0.15)
    assert ablate.at_equal_time(-0.25, slope, 0.5) == pytest.approx(-0.35)
    assert ablate.at_equal_time(-0.25, slope, 1.0) == -0.25


def test_row_of_a_switch_by_hand(ablate):
    losses = {"base": [2.0, 2.2], "bias": [1.9, 2.1]}
    seconds = {"base": [1.0, 2.0, 1.0], "bias": [2.0, 4.0, 5.0]}
    row = ablate.compare("bias", losses, [2.1, 2.3], seconds)
    assert row["step_cost"] == 2.0
    assert row["step_cost_range"] == (2.0, 5.0)
    assert row["loss_difference"] == pytest.approx((-0.1, -0.1, -0.1))
    assert row["loss_difference_at_equal_time"] == pytest.approx((0.0, 0.0, 0.0))


def test_steps_are_timed_after_the_warmup(ablate):
    clock = ablate.StepClock()
    clock.ends = [0.0, 50.0, 51.0, 52.0, 53.0, 55.0, 58.0, 59.0]  # 2, 3 and 1 after five steps
    assert clock.seconds_per_step() == 2.0


def test_a_seed_alone_has_no_interval(ablate):
    with pytest.raises(UserError, match="--seeds must be at least 2, got 1"):
        ablate.parse_arguments("--switch bias --steps 2 --seeds 1".split())


def test_an_ablation_from_end_to_end(ablate, home, monkeypatch, capsys):
    monkeypatch.setattr("record.RESULTS", home)
    flags = "--config tiny.yaml --switch bias,lr=1e-2+batch_size=5 --steps 2 --seeds 2 --name a"
    assert ablate.main([*flags.split(), "--rounds", "1", "--cost_steps", "1"]) == 0
    figures = json.loads((home / "a.json").read_text(encoding="utf-8"))["figures"]
    assert figures["num_switches"] == 2
    assert figures["seeds"] == 2
    assert len(figures["base"]["losses"]) == len(figures["base"]["losses_at_half"]) == 2
    assert list(figures["switches"]) == ["bias", "lr=1e-2+batch_size=5"]
    for row in figures["switches"].values():
        assert row["step_cost"] > 0
        center, low, high = row["loss_difference"]
        assert low <= center <= high
        assert all(1 < loss < 5 for loss in row["losses"])
    printed = capsys.readouterr().out
    assert "switches tried: 2" in printed
    assert "| `bias` " in printed


def test_the_same_seed_gives_the_same_loss(ablate, home):
    """What pairs the runs; and another seed gives another loss."""
    config = load_config("tiny.yaml")
    corpus = ablate.train.read_corpus(config)
    ablate.train.quiet_libraries()
    losses = [ablate.loss_after(config, corpus, seed, 2) for seed in (1, 1, 2)]
    assert losses[0] == losses[1] != losses[2]
