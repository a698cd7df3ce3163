"""benchmarks/ablate.py and variants.py: switches, intervals, equal time, a whole run."""

import json
import math
import types
from importlib import import_module
from pathlib import Path

import pytest
import torch
from pytorch_lightning.callbacks import Callback
from torch import nn
from torch.testing import assert_close

from transformer.config.files import load_config
from transformer.system.errors import UserError

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
def ablate(load_benchmark):
    return load_benchmark("ablate")


@pytest.fixture
def variants(ablate):
    """Where `ablate` has its parts from."""
    return import_module("variants")


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
        ("logit_cap=15+bias", {"logit_cap": 15, "bias": False}),
        ("weight_decay_to_zero", {"weight_decay_to_zero": True}),
        ("optimizer=muon+lr=3e-3+bias", {"optimizer": "muon", "lr": 0.003, "bias": False}),
    ],
)
def test_a_switch_is_read_as_a_config_file_would_be(variants, home, switch, changes):
    assert variants.parse_switch(switch, load_config("tiny.yaml")) == changes


def test_values_of_a_switch_reach_the_variant_and_no_other(variants, home):
    switches = ["bias", "lr=3e-3+dropout=0.2", "bias+logit_cap=15"]
    made = variants.make_variants(Path("tiny.yaml"), switches, None)
    assert list(made) == ["base", *switches]
    changes = [{}, {"bias": False}, {"lr": 0.003, "dropout": 0.2}, {"bias": False}]
    assert [v.config for v in made.values()] == [load_config("tiny.yaml", c) for c in changes]
    assert [v.candidates for v in made.values()] == [{}, {}, {}, {"logit_cap": 15.0}]


@pytest.mark.parametrize(
    ("switches", "match"),
    [
        (["qk_nrom"], "unknown key 'qk_nrom': did you mean qk_norm"),
        (["logit_cap"], "logit_cap is 0.0, not boolean: give logit_cap=VALUE"),
        (["zero_outputs=false"], "changes nothing"),
        (["norm"], "norm is 'layernorm', not boolean: give norm=VALUE"),
        (["norm=batchnorm"], "norm must be"),
        (["seed=3"], "seed must be the same for all"),
        (["lr=1e-3+lr=3e-3"], "lr is given twice"),
        (["lr=0.01"], "changes nothing"),
        (["bias", "bias"], "is given twice"),
        (["logit_cap=high"], "logit_cap: its value must be a number, got 'high'"),
        (["logit_cab=15"], "unknown key 'logit_cab': did you mean logit_cap"),
    ],
)
def test_a_wrong_switch_is_refused(variants, home, switches, match):
    with pytest.raises(UserError, match=match):
        variants.make_variants(Path("tiny.yaml"), switches, None)


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
    row = ablate.compare("bias", losses, [2.1, 2.3], [2.0, 5.0, 2.0])
    assert row["step_cost"] == 2.0
    assert row["step_cost_range"] == (2.0, 5.0)
    assert row["loss_difference"] == pytest.approx((-0.1, -0.1, -0.1))
    assert row["loss_difference_at_equal_time"] == pytest.approx((0.0, 0.0, 0.0))


def test_a_cost_is_over_the_mean_of_the_bases_before_and_after(ablate, monkeypatch):
    """Of a machine that grows slower: 1, 3 and 2 s for the base, 4 and 10 s between."""
    seconds = iter([1.0, 4.0, 3.0, 10.0, 2.0])
    monkeypatch.setattr(ablate, "fit", lambda *_: None)
    monkeypatch.setattr(ablate.StepClock, "seconds_per_step", lambda _: next(seconds))
    names = dict.fromkeys(["base", "bias", "lr=1"])
    costs = ablate.measure_costs(names, None, rounds=1, steps=1)
    assert costs == {"base": [1.0, 3.0, 2.0], "bias": [2.0], "lr=1": [4.0]}


def test_steps_are_timed_after_the_warmup(ablate):
    clock = ablate.StepClock()
    clock.ends = [0.0, 50.0, 51.0, 52.0, 53.0, 55.0, 58.0, 59.0]  # 2, 3 and 1 after five steps
    assert clock.seconds_per_step() == 2.0


def test_a_seed_alone_has_no_interval(ablate):
    with pytest.raises(UserError, match="--seeds must be at least 2, got 1"):
        ablate.parse_arguments("--switch bias --steps 2 --seeds 1".split())


@pytest.mark.slow
def test_an_ablation_from_end_to_end(ablate, home, monkeypatch, capsys):
    monkeypatch.setattr("record.RESULTS", home)
    flags = "--config tiny.yaml --switch bias,lr=1e-2+batch_size=5 --steps 2 --seeds 2 --name a"
    assert ablate.main([*flags.split(), "--rounds", "1", "--cost_steps", "1"]) == 0
    (written,) = home.glob("*/a.json")  # in the folder of this processor
    figures = json.loads(written.read_text(encoding="utf-8"))["figures"]
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


@pytest.fixture
def train_variant(ablate, variants, home):
    """Trains tiny.yaml with a switch for some steps."""
    config = load_config("tiny.yaml")
    corpus = ablate.task_of(config.model).read(config)
    ablate.quiet_libraries()

    def train(switch, steps, seed=1, **keywords):
        switches = [switch] if switch else []
        variant = [*variants.make_variants(Path("tiny.yaml"), switches, None).values()][-1]
        return variants.fit(variant, corpus, seed, steps, **keywords)

    return train


def weights(model):
    return nn.utils.parameters_to_vector(model.parameters())


def test_the_same_seed_gives_the_same_weights(train_variant):
    """What pairs the runs; and another seed gives others."""
    first, again, other = (weights(train_variant("", 2, seed)[0]) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_logit_cap_bounds_the_logits(train_variant):
    model, data = train_variant("logit_cap=0.01", 2)
    logits = model(data.val_tokens[None, :7].long())
    assert 0 < logits.abs().max() <= 0.01


def test_outputs_of_blocks_start_at_zero_and_learn(variants, train_variant):
    model, _ = train_variant("", 1)
    module = types.SimpleNamespace(model=model)
    variants.CANDIDATES["zero_outputs"](module, 1.0)
    outputs = [part.output.weight for b in model.blocks for part in (b.attention, b.feedforward)]
    assert not any(weight.any() for weight in outputs)
    trained, _ = train_variant("zero_outputs", 1)
    assert all(b.attention.output.weight.all() for b in trained.blocks)


def test_a_gate_weighs_each_head_at_each_position(train_variant, float32_bound):
    """By 2 / (1 + exp(-w x)) with a learned row w a head; at w = 0 there is no gate."""
    model, _ = train_variant("attention_gate", 3)
    attention = model.blocks[0].attention
    x = torch.randn(2, 5, attention.qkv.in_features)
    inputs = []
    attention.output.register_forward_hook(lambda _, arguments, __: inputs.append(arguments[0]))
    gate = attention.gate.weight.detach().clone()
    with torch.no_grad():
        attention(x)
        attention.gate.weight.zero_()
        attention(x)
    gated, plain = (heads.unflatten(-1, (attention.num_heads, -1)) for heads in inputs)
    expected = plain * (2 / (1 + torch.exp(-x @ gate.T)))[..., None]
    num_sums = x.shape[-1] + 4  # of the gate's product, and each operation around it
    assert_close(gated, expected, rtol=0, atol=float32_bound(num_sums, expected))
    assert gate.std() > 0.01


@pytest.mark.parametrize("ngram_size", [1, 2])
def test_a_value_embedding_is_learned_and_reads_the_last_tokens_alone(train_variant, ngram_size):
    model, data = train_variant(f"value_embedding={ngram_size}", 3)
    (table,) = model.value_embedding.tables
    assert table.count_nonzero() > 0
    tokens = data.val_tokens[None, :7].long()
    model(tokens)
    rows = model.value_embedding._rows
    expected = tokens.clone()
    if ngram_size == 2:
        expected[:, 1:] += tokens[:, :-1] * data.vocab_size
    assert torch.equal(rows, expected)


def test_averaged_weights_are_the_average_of_those_after_each_step(train_variant, float32_bound):
    """The first is taken as it is; then 0.75 of the average and 0.25 of the new."""
    seen = []

    class Keep(Callback):
        def on_train_batch_end(self, trainer, pl_module, *_):
            seen.append(weights(pl_module.model).detach().clone())

    model, _ = train_variant("weight_averaging=0.75", 3, clock=Keep())
    average = seen[0]
    for later in seen[1:]:
        average = 0.75 * average + 0.25 * later
    bound = float32_bound(3 * len(seen), average)  # two products and a sum a step
    assert_close(weights(model), average, rtol=0, atol=bound)
    assert not torch.equal(weights(model), seen[-1])


def test_weight_decay_falls_to_zero(train_variant):
    seen = []

    class Keep(Callback):
        def on_train_batch_end(self, trainer, pl_module, *_):
            seen.append([g["weight_decay"] for g in trainer.optimizers[0].param_groups])

    train_variant("weight_decay_to_zero+weight_decay=0.8", 4, clock=Keep())
    matrices = [decay for decay, _ in seen]
    assert matrices == pytest.approx([0.8, 0.6, 0.4, 0.2])
    assert all(decay == 0 for _, decay in seen)  # norms and biases have none to begin with
