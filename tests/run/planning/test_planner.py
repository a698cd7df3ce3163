"""What a plan is for: laws of the choice, from given times of a step; no model is trained."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from transformer.config.drafts import read_draft
from transformer.run.planning.law import LEAST_PROMISED, PLAIN
from transformer.run.planning.planner import LEAST_STEPS, MOST_PLANNING, DataFacts
from transformer.run.planning.steps import Compiling, StepSeconds
from transformer.run.planning.texts import DROPOUTS, TextPlanner
from transformer.system.errors import UserError

ROOT = Path(__file__).parents[3]
SECONDS = {(64, 2): 0.03, (128, 1): 0.05, (128, 2): 0.08, (256, 1): 0.13, (256, 2): 0.24}
FAST, SLOW = StepSeconds(SECONDS), StepSeconds({k: 10 * v for k, v in SECONDS.items()})


def facts(unique=1_000_000):
    return DataFacts(unique, 200_000, 65, unique - 128, 128.0)


def planner(text=None, seconds=FAST, free_bytes=float("inf"), promised=1.9, **given):
    draft = read_draft(ROOT / "configs" / "auto.yaml", given)
    return TextPlanner(draft, text or facts(), PLAIN, seconds, free_bytes, promised=promised)


def parameters(plan):
    return plan.size.width**2 * plan.size.num_blocks


@pytest.mark.parametrize("unique", [30_000, 200_000, 1_000_000, 20_000_000])
@pytest.mark.parametrize("minutes", [1.0, 3.0, 10.0, 30.0])
def test_more_time_never_promises_a_higher_loss(unique, minutes):
    plans = planner(facts(unique))
    assert plans.for_minutes(2 * minutes).expected <= plans.for_minutes(minutes).expected + 0.003


@pytest.mark.parametrize("minutes", [1.0, 10.0, 60.0])
def test_more_text_never_promises_a_higher_loss(minutes):
    losses = [
        planner(facts(unique)).for_minutes(minutes).expected
        for unique in (50_000, 200_000, 1_000_000, 5_000_000)
    ]
    assert losses == sorted(losses, reverse=True)


@pytest.mark.parametrize(
    ("unique", "given", "words"),
    [
        (90_000, {}, "+- "),
        (1_000_000, {"dropout": 0.3, "num_blocks": 5}, "+- "),
        (20_000, {}, "a guess for so short"),
        (20_000_000, {}, "a guess for so long"),
        (90_000, {"batch_size": 64}, "a guess with batch_size 64"),
        (90_000, {"optimizer": "adamw"}, "a guess with optimizer adamw"),
    ],
)
def test_an_expected_loss_says_how_sure_it_is(unique, given, words):
    """Nobody knows the error of the law for what its runs did not have."""
    plans = planner(facts(unique), **given)
    said = plans.outlook(plans.for_minutes(3.0))
    assert re.fullmatch(rf"val_loss \d\.\d\d \(?{re.escape(words)}.*", said)


@pytest.mark.parametrize("promised", [1.1, 0.3, 0.0, -50.0])
@pytest.mark.parametrize("unique", [20_000, 200_000])
@pytest.mark.parametrize("minutes", [1.0, 120.0])
def test_a_text_more_predictable_than_all_known_is_planned_as_the_most_predictable(
    promised, unique, minutes
):
    """As a list whose lines are alike: its pilots may promise less than nothing."""
    plans = planner(facts(unique), promised=promised)
    plan = plans.for_minutes(minutes)
    assert plan == planner(facts(unique), promised=LEAST_PROMISED).for_minutes(minutes)
    assert plan.expected > 0
    assert re.match(r"val_loss below \d\.\d\d \(", plans.outlook(plan))


def test_a_faster_machine_and_more_time_give_a_larger_model_or_more_steps():
    slow, fast = planner(seconds=SLOW).for_minutes(3.0), planner().for_minutes(3.0)
    long = planner().for_minutes(60.0)
    assert parameters(slow) <= parameters(fast) <= parameters(long)
    assert parameters(slow) < parameters(long)
    assert slow.expected > fast.expected > long.expected


def test_a_small_text_gets_more_dropout_than_a_large_one():
    small, large = (
        planner(facts(n)).for_minutes(10.0).recipe["dropout"] for n in (50_000, 20_000_000)
    )
    assert small > large == 0


@pytest.mark.parametrize("minutes", [0.5, 3.0, 30.0])
@pytest.mark.parametrize("unique", [30_000, 1_000_000])
def test_the_steps_fit_into_the_minutes(minutes, unique):
    plan = planner(facts(unique)).for_minutes(minutes)
    assert plan.steps >= LEAST_STEPS
    assert plan.steps * FAST(plan.size.width, plan.size.num_blocks) < 60 * minutes
    assert plan.passes == pytest.approx(plan.steps * 12 * 128 / unique)


COMPILED = StepSeconds(SECONDS, compiling=Compiling(gain=2.0, seconds=20.0))


@pytest.mark.parametrize("minutes", [0.5, 1.0, 3.0, 10.0, 60.0])
@pytest.mark.parametrize("unique", [30_000, 20_000_000])
def test_a_plan_compiles_where_the_run_is_sooner_at_its_end_so(minutes, unique):
    without, plans = planner(facts(unique)), planner(facts(unique), COMPILED)
    plan = plans.for_minutes(minutes)
    assert plan.expected <= without.for_minutes(minutes).expected + 0.003
    plain = plan.steps * COMPILED(plan.size.width, plan.size.num_blocks)
    plain *= 2 if plan.recipe["r_drop"] else 1
    saved = plain / 2 - COMPILED.compiling.cost(plan.size.num_blocks)
    assert plans.config_of(plan).compile is (saved > 0.05 * plain)
    assert plain - max(saved, 0) < 60 * minutes


def test_long_plans_compile_and_short_ones_do_not_unless_that_is_given():
    plans = planner(facts(20_000_000), COMPILED)
    for minutes, compiles in ((0.5, False), (60.0, True)):
        plan = plans.for_minutes(minutes)
        assert plans.config_of(plan).compile is compiles
        assert ("compiled" in plans.reasons(plan)["embedding_dim"]) is compiles
    given = planner(facts(20_000_000), COMPILED, compile="false")
    plan = given.for_minutes(60.0)
    assert given.config_of(plan).compile is False
    assert plan == planner(facts(20_000_000)).for_minutes(60.0)
    assert planner().config_of(planner().for_minutes(60.0)).compile == "auto"


GIVEN = [
    {"embedding_dim": 96},
    {"num_blocks": 5},
    {"num_heads": 2},
    {"dropout": 0.35},
    {"block_size": 64, "batch_size": 3},
    {"lr": 0.003, "weight_decay": 0},
    {"embedding_dim": 100, "num_heads": 5},
    {"embedding_dim": 200},
    {"embedding_dim": 300, "num_blocks": 1},
]


@pytest.mark.parametrize("given", GIVEN, ids=str)
def test_what_is_given_is_kept_and_the_rest_is_filled_in(given):
    plans = planner(**given)
    config = plans.config_of(plans.for_minutes(3.0))
    assert {key: getattr(config, key) for key in given} == given
    assert config.embedding_dim % config.num_heads == 0
    assert config.dropout in (*DROPOUTS, 0.35)
    assert config.max_minutes == 3


@pytest.mark.parametrize("steps", [1, 100, 3000])
def test_a_number_of_steps_takes_the_place_of_the_minutes(steps):
    plans = planner(seconds=None, max_steps=steps)
    plan = plans.for_steps(steps)
    config = plans.config_of(plan)
    assert (config.max_steps, config.max_minutes, plan.steps) == (steps, None, steps)
    assert not plan.ends_early


@pytest.mark.parametrize(
    ("given", "most"), [({"epochs": 2}, 2 * 2000 / 12), ({"max_steps": 90}, 90)], ids=str
)
def test_other_limits_hold_too(given, most):
    plan = planner(facts(2000), **given, max_minutes=30).for_minutes(30.0)
    assert plan.steps <= most


def test_accumulated_batches_take_longer_and_read_more():
    one, four = (planner(accumulate_grad_batches=n, num_blocks=2) for n in (1, 4))
    plan = four.for_minutes(3.0)
    assert plan.passes == pytest.approx(plan.steps * 4 * 12 * 128 / 1_000_000)
    assert plan.steps * FAST(plan.size.width, 2) * 4 < 180
    assert plan.steps < one.for_minutes(3.0).steps


def test_more_steps_are_for_a_larger_model():
    sizes = [parameters(planner(max_steps=n).for_steps(n)) for n in (100, 1000, 30_000)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"num_heads": 7, "embedding_dim": 64}, "embedding_dim 64 and num_heads 7"),
        ({"embedding_dim": 33, "num_heads": 11}, "embedding_dim 33 and num_heads 11"),
    ],
    ids=str,
)
def test_given_keys_that_leave_no_plan_are_named(given, words):
    with pytest.raises(UserError) as caught:
        planner(**given).for_minutes(3.0)
    assert "\n" not in str(caught.value)
    for word in words.replace(" and", "").split():
        assert word in str(caught.value)


@pytest.mark.parametrize(
    "given",
    [{}, {"embedding_dim": 2048, "num_blocks": 24}, {"epochs": 1, "batch_size": 64}],
    ids=str,
)
def test_too_few_minutes_are_refused_with_what_helps(given):
    plans = planner(**given)
    with pytest.raises(UserError, match=r"max_minutes 0\.05 are too few .* give more") as caught:
        plans.for_minutes(0.05)
    if "embedding_dim" in given:
        assert "with embedding_dim 2048 and num_blocks 24" in str(caught.value)
    enough = float(re.search(r"minutes \(([\d.]+) are enough", str(caught.value))[1])
    spent = replace(plans, spent_seconds=MOST_PLANNING * 60 * enough)
    assert spent.for_minutes(enough).steps >= spent.least_steps
    with pytest.raises(UserError, match="too few"):
        plans.for_minutes(enough / 3)  # so not far more than needed


@pytest.mark.parametrize("given", [{"max_steps": 20}, {"epochs": 1, "batch_size": 64}], ids=str)
def test_few_steps_that_are_given_are_no_fault_of_the_minutes(given):
    plan = planner(facts(2000), **given, max_minutes=5).for_minutes(5.0)
    assert 0 < plan.steps <= given.get("max_steps", 2000 / 64)


def test_what_was_spent_before_the_run_is_missing_from_its_minutes():
    plans = planner()
    size, recipe = plans.sizes[0], {"dropout": 0.0, "r_drop": 0.0}
    later = replace(plans, spent_seconds=60.0)
    assert 0 < later.affordable(size, 3.0, recipe) == plans.affordable(size, 2.0, recipe)


def test_a_plan_fits_the_memory_or_is_refused():
    free = 0.72e9
    assert parameters(planner(free_bytes=free).for_minutes(120.0)) < parameters(
        planner().for_minutes(120.0)
    )
    with pytest.raises(UserError, match=r"GB are free here.*batch_size 5000"):
        planner(free_bytes=free, batch_size=5000).sizes  # noqa: B018


def test_a_draft_without_a_limit_names_the_key_and_the_way_out(tmp_path):
    text = (ROOT / "configs" / "auto.yaml").read_text(encoding="utf-8")
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace("max_minutes: 3", "max_minutes: none"), encoding="utf-8")
    with pytest.raises(UserError, match=r"auto needs to know .* `max_minutes` or `max_steps`"):
        read_draft(path)
    assert read_draft(path, {"max_minutes": 2}).auto


def test_steps_and_minutes_given_together_both_hold():
    plans = planner(max_steps=70, max_minutes=5)
    config = plans.config_of(plans.for_minutes(5.0))
    assert (config.max_steps, config.max_minutes) == (70, 5)


@pytest.mark.parametrize(("width", "num_blocks"), SECONDS)
def test_timed_sizes_take_what_was_timed(width, num_blocks):
    assert FAST(width, num_blocks) == pytest.approx(SECONDS[width, num_blocks])


def test_wider_and_deeper_models_take_longer():
    for width in (48, 64, 100, 128, 200, 256, 300, 512):
        assert FAST(width, 2) < FAST(width + 32, 2)
        assert FAST(width, 2) < FAST(width, 3) < FAST(width, 6)


def test_the_base_of_a_draft_holds_what_is_given():
    draft = read_draft(ROOT / "configs" / "auto.yaml", {"num_heads": 6, "data_path": "a.txt"})
    base = draft.base(**PLAIN)
    assert (base.num_heads, base.data_path, base.max_minutes) == (6, "a.txt", 3)


@pytest.mark.parametrize("num_kv_heads", [1, 3, 4])
def test_planned_heads_can_share_the_given_number_of_keys(num_kv_heads):
    made = planner(num_kv_heads=num_kv_heads)
    sizes = made.sizes
    assert sizes
    assert all(size.num_heads % num_kv_heads == 0 for size in sizes)
    config = made.config_of(made.for_minutes(3.0))
    assert config.num_heads % config.num_kv_heads == 0
