"""What a plan for pairs is: laws of the choice, from given times of a step, and the whole path."""

import time
from pathlib import Path

import pytest

from transformer.config.drafts import read_draft
from transformer.config.files import load_config
from transformer.run.planning import pairs, planner
from transformer.run.planning.pairs import PASSES, PairPlanner
from transformer.run.planning.planned import outlook, plan_of
from transformer.run.planning.planner import LEAST_STEPS, DataFacts
from transformer.run.planning.sizes import Size
from transformer.run.planning.steps import StepSeconds
from transformer.system.errors import UserError

AUTO = Path(__file__).parents[3] / "configs" / "auto-pairs.yaml"
MINUTES = (1.0, 3.0, 10.0, 30.0, 120.0)
SECONDS = {(64, 2): 0.02, (128, 1): 0.03, (128, 2): 0.05, (256, 1): 0.08, (256, 2): 0.15}


def planner_of(num_pairs=8000, **given):
    draft = read_draft(AUTO, given)
    facts = DataFacts(14 * num_pairs, 10_000, 100, num_pairs, 14.0)
    plain = {"block_size": 20, "batch_size": 64, "lr": 0.01, "weight_decay": 0.1}
    return PairPlanner(draft, facts, plain, StepSeconds(SECONDS), num_pairs=num_pairs)


def parameters(plan):
    return plan.size.width**2 * plan.size.num_blocks


@pytest.mark.parametrize("num_pairs", [1000, 8000, 100_000])
def test_more_minutes_never_give_a_smaller_model(num_pairs):
    plans = [
        planner_of(num_pairs).for_minutes(minutes) for minutes in (1.0, 3.0, 10.0, 30.0, 120.0)
    ]
    assert [parameters(plan) for plan in plans] == sorted(map(parameters, plans))
    for plan, minutes in zip(plans, MINUTES, strict=True):
        cost = 2 if plan.recipe["r_drop"] else 1
        seconds = seconds_of(plan) * cost * plan.steps
        assert plan.steps >= LEAST_STEPS
        assert seconds < 60 * minutes


def seconds_of(plan):
    return StepSeconds(SECONDS)(plan.size.width, plan.size.num_blocks)


def test_more_pairs_allow_a_larger_model():
    small, large = (planner_of(n).for_minutes(240.0) for n in (2000, 100_000))
    assert parameters(small) < parameters(large)


def test_r_drop_comes_where_there_is_time_for_it():
    assert planner_of().for_minutes(30.0).recipe["r_drop"] == 1
    assert planner_of(200_000).for_minutes(1.0).recipe["r_drop"] == 0
    assert planner_of().for_minutes(30.0).passes >= PASSES


@pytest.mark.parametrize(
    "given", [{"r_drop": 0.5}, {"dropout": 0.35}, {"embedding_dim": 96}, {"num_blocks": 2}], ids=str
)
def test_what_is_given_is_kept(given):
    plans = planner_of(**given)
    config = plans.config_of(plans.for_minutes(10.0))
    assert {key: getattr(config, key) for key in given} == given


def test_too_few_minutes_are_refused():
    with pytest.raises(UserError, match=r"max_minutes 0\.05 are too few"):
        planner_of().for_minutes(0.05)


@pytest.mark.parametrize(("steps", "r_drop"), [(100, 0), (1400, 0), (1600, 1)])
def test_given_steps_get_r_drop_where_they_are_passes_enough(steps, r_drop):
    """Twelve passes over 8,000 pairs are 1,500 steps."""
    plan = planner_of(max_steps=steps).for_steps(steps)
    assert plan.recipe["r_drop"] == r_drop
    assert planner_of(r_drop=1.0, max_steps=steps).for_steps(steps).recipe["r_drop"] == 1


@pytest.mark.parametrize("minutes", [0.5, 3.0, 120.0])
def test_the_size_is_explained_by_the_rule_that_chose_it(minutes):
    plans = planner_of()
    plan = plans.for_minutes(minutes)
    smallest = plan.size == plans.sizes[0]
    assert ("smallest" in plans.reasons(plan)["embedding_dim"]) == (plan.passes < PASSES)
    assert smallest or plan.passes >= PASSES


@pytest.fixture
def draft_of(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(planner, "timed_steps", lambda config, data: StepSeconds(SECONDS))
    words = ["".join(chr(97 + n // 26**i % 26) for i in range(5)) for n in range(0, 90_000, 97)]
    lines = [f"{word}\t{' '.join(word[::-1])}\n" for word in words]
    Path("words.tsv").write_text("".join(lines), encoding="utf-8")
    Path("few.tsv").write_text("".join(lines[:100]), encoding="utf-8")

    def draft(**flags):
        given = {"data_path": "words.tsv", "target_units": "words", "accelerator": "cpu"} | flags
        return read_draft(AUTO, given)

    return draft


def test_the_plan_of_a_file_is_said_with_its_reasons(draft_of):
    (entry,), text, _ = plan_of(draft_of(), time.monotonic())
    assert entry.config.block_size == 5
    assert entry.config.model == "encoder_decoder"
    for words in ("r_drop", "passes over", "the longest source or target", "embedding_dim"):
        assert words in text
    assert "expected" not in text


def test_a_given_number_of_steps_needs_no_clock(draft_of, monkeypatch):
    monkeypatch.setattr(planner, "timed_steps", None)
    (entry,), *_ = plan_of(draft_of(max_steps=7), time.monotonic())
    assert (entry.config.max_steps, entry.config.max_minutes) == (7, None)


def test_the_outlook_has_a_row_for_each_time(draft_of):
    rows = outlook(draft_of(), time.monotonic()).splitlines()
    assert [row.split()[0] for row in rows[2:]] == ["1", "3", "10", "30", "120"]
    assert "r_drop" in rows[0]


def test_too_few_pairs_are_refused_in_one_line(draft_of):
    with pytest.raises(UserError, match=r"few\.tsv: \d+ pairs to train on are too few"):
        plan_of(draft_of(data_path="few.tsv"), time.monotonic())


def test_the_batch_grows_with_the_pairs():
    sizes = [pairs._batch_size(n) for n in (200, 6361, 12_800, 100_000, 10**6)]
    assert sizes == [32, 32, 64, 256, 256]


def test_small_batches_have_a_lower_learning_rate(draft_of):
    rates = {}
    for size in (16, 32, 64, 256):
        (entry,), *_ = plan_of(draft_of(batch_size=size, max_steps=5), time.monotonic())
        rates[entry.config.batch_size] = entry.config.lr
    assert list(rates.values()) == sorted(rates.values())
    assert (rates[32], rates[256]) == (0.0058, 0.01)
    (given,), *_ = plan_of(draft_of(batch_size=16, lr=0.02, max_steps=5), time.monotonic())
    assert given.config.lr == 0.02


@pytest.mark.parametrize("key", ["batch_size", "lr", "dropout", "r_drop"])
def test_pairs_small_is_the_plan_for_8000_pairs(key):
    small = load_config(AUTO.with_name("pairs-small.yaml"))
    num_pairs = 6400  # for training
    size = Size(small.embedding_dim, small.num_heads, small.num_blocks)
    plans = planner_of(num_pairs)
    planned = plans._recipe(1.0) | {
        "batch_size": pairs._batch_size(num_pairs),
        "lr": pairs._lr(0.01, small.batch_size),
    }
    assert planned[key] == getattr(small, key)
    assert plans._worthwhile()[-1] == size
