"""How long steps take, and what compiling brings: timed once, and remembered."""

import pytest

from transformer.run.assembly import build_task
from transformer.run.planning.steps import (
    COST,
    STEP,
    Compiling,
    compiled_seconds,
    products_share,
    sized,
    timed_steps,
)
from transformer.run.settling import settle
from transformer.system import speed
from transformer.tasks.registry import task_of


def test_steps_are_timed_once_and_remembered(draft_of, tmp_path, monkeypatch):
    monkeypatch.setattr(speed, "cores_are_free", lambda: True)
    monkeypatch.setattr("transformer.run.planning.steps.cores_are_free", lambda: True)
    monkeypatch.setattr("transformer.run.planning.steps.TIMED", ((64, 2), (128, 1), (128, 2)))
    keys = {"block_size": 8, "batch_size": 2, "num_threads": 1, "max_minutes": 1}
    config = draft_of(**keys).base(lr=0.01)
    config = settle(config.model_copy(update={"cache_dir": str(tmp_path / "cache")}))
    data = task_of("gpt").read(config)
    times = timed_steps(config, data)
    assert times.seconds.keys() == {(64, 2), (128, 1), (128, 2)}
    assert all(seconds > 0 for seconds in times.seconds.values())
    assert times.dropout_cost >= 1
    monkeypatch.setattr("transformer.run.planning.steps.seconds_of_a_step", None)
    again = timed_steps(config, data)
    assert (again.seconds, again.dropout_cost) == (times.seconds, times.dropout_cost)
    assert times.compiling is again.compiling is None  # not worth the time of so short a plan


@pytest.mark.slow
def test_compiling_is_tried_once_and_remembered_for_short_plans_too(
    draft_of, tmp_path, monkeypatch
):
    monkeypatch.setattr(speed, "cores_are_free", lambda: True)
    monkeypatch.setattr("transformer.run.planning.steps.cores_are_free", lambda: True)
    monkeypatch.setattr("transformer.run.planning.steps.TIMED", ((64, 1), (64, 2), (128, 2)))
    monkeypatch.setattr("transformer.run.planning.steps.COMPILED_SIZE", (64, 1))
    config = draft_of(block_size=8, batch_size=2, num_threads=1).base(lr=0.01)
    config = settle(config.model_copy(update={"cache_dir": str(tmp_path / "cache")}))
    data = task_of("gpt").read(config)
    first = timed_steps(config, data).compiling
    assert first is not None
    assert first.gain > 0
    assert first.seconds > 0
    monkeypatch.setattr("transformer.run.planning.steps.compiled_seconds", None)
    assert timed_steps(config.model_copy(update={"max_minutes": 1.0}), data).compiling == first
    assert timed_steps(config.model_copy(update={"compile": False}), data).compiling is None


@pytest.mark.parametrize(
    ("minutes", "share", "asked"),
    [(0.9, 0.0, False), (2.0, 0.4, True), (2.0, 0.6, False), (10.0, 0.85, True)],
)
def test_a_plan_that_may_save_enough_asks_what_compiling_brings(
    draft_of, tmp_path, monkeypatch, minutes, share, asked
):
    """Half of the time outside of products: of 120 s, 36 s or 24 s."""
    steps = "transformer.run.planning.steps"
    monkeypatch.setattr(f"{steps}.TIMED", ((64, 1), (64, 2), (128, 2)))
    monkeypatch.setattr(f"{steps}.COMPILED_SIZE", (64, 1))
    monkeypatch.setattr(f"{steps}.seconds_of_a_step", lambda *_: 1.0)
    monkeypatch.setattr(f"{steps}.products_share", lambda *_: share)
    monkeypatch.setattr(f"{steps}.compiled_seconds", lambda *_: {STEP: 0.5, COST: 9.0})
    config = draft_of(block_size=8, batch_size=2, num_threads=1, max_minutes=minutes).base(lr=0.01)
    config = settle(config.model_copy(update={"cache_dir": str(tmp_path / "cache")}))
    compiling = timed_steps(config, task_of("gpt").read(config)).compiling
    assert compiling == (Compiling(2.0, 9.0) if asked else None)


def test_compiling_more_blocks_takes_longer_but_not_as_much():
    compiling = Compiling(gain=2.0, seconds=10.0)
    costs = [compiling.cost(num_blocks) for num_blocks in (1, 2, 4, 8)]
    assert costs == sorted(costs)
    assert costs[1] == 10.0
    assert 10.0 < costs[2] < 15.0
    assert costs[3] < 20.0


def test_sizes_that_are_given_do_not_change_what_is_timed(draft_of, tmp_path, monkeypatch):
    """So a plan with another key times nothing anew."""
    steps = "transformer.run.planning.steps"
    monkeypatch.setattr(f"{steps}.seconds_of_a_step", lambda *_: 1.0)
    config = draft_of(block_size=8, batch_size=2, num_threads=1, compile="false").base(lr=0.01)
    config = settle(config.model_copy(update={"cache_dir": str(tmp_path / "cache")}))
    data = task_of("gpt").read(config)
    timed_steps(config, data)
    monkeypatch.setattr(f"{steps}.seconds_of_a_step", None)
    for changes in ({"num_blocks": 4}, {"embedding_dim": 64, "num_heads": 2}, {"patience": 3}):
        timed_steps(config.model_copy(update=changes), data)


def test_products_take_a_part_of_a_step(draft_of):
    config = settle(draft_of(block_size=8, batch_size=2, num_threads=1).base(lr=0.01))
    task = build_task(config, task_of("gpt").read(config))
    shares = sorted(products_share(sized(config, 64, 1), task) for _ in range(5))
    assert 0.03 < shares[2] < 1


def test_a_compiler_that_fails_leaves_the_plan_without(draft_of, monkeypatch):
    def fails(*_):
        raise RuntimeError

    monkeypatch.setattr("transformer.run.planning.steps.compile_model", fails)
    config = settle(draft_of(block_size=8, batch_size=2, num_threads=1).base(lr=0.01))
    task = build_task(config, task_of("gpt").read(config))
    assert compiled_seconds(config, task) is None
