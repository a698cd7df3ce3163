"""Which candidates are timed on how much work, and how often."""

import pytest

from transformer.system import speed
from transformer.system.speed import fastest, measure_all


def test_no_time_is_spent_on_what_is_far_slower(clock):
    rows = {"quick": [], "slow": []}
    candidates = {
        "quick": rows["quick"].append,
        "slow": lambda num_rows: rows["slow"].append(num_rows) or clock.sleep(0.01),
    }
    times = measure_all(candidates)
    assert set(rows["slow"]) == {speed.ROWS[0]}
    assert times["slow"] > 3 * times["quick"]


def test_the_others_are_still_compared_on_more_when_one_is_far_slower(monkeypatch, clock):
    monkeypatch.setattr(speed, "SECONDS", 2.0)
    rows = {"quick": [], "close": [], "slow": []}

    def candidate(name, seconds):
        return lambda num_rows: rows[name].append(num_rows) or clock.sleep(num_rows * seconds)

    seconds = {"quick": 0.0001, "close": 0.00011, "slow": 0.001}
    times = measure_all({name: candidate(name, s) for name, s in seconds.items()}, (4, 20))
    assert set(rows["slow"]) == {4}
    assert set(rows["quick"]) == set(rows["close"]) == {4, 20}
    assert times["slow"] > 2 * times["quick"] > times["close"] > 0.002


def test_short_work_is_tried_more_often(monkeypatch, clock):
    monkeypatch.setattr(speed, "LEAST_SECONDS", 0.05)
    tries = {"a": 0, "b": 0}

    def candidate(name):
        def work(num_rows):
            tries[name] += 1
            clock.sleep(0.001)

        return work

    measure_all({name: candidate(name) for name in tries}, (1,))
    assert tries["a"] == tries["b"] > 2 * speed.ROUNDS


def test_like_candidates_are_compared_on_many_rows(monkeypatch, clock):
    monkeypatch.setattr(speed, "SECONDS", 1.0)
    seen = []
    candidates = {
        name: lambda num_rows: seen.append(num_rows) or clock.sleep(0.001) for name in "ab"
    }
    measure_all(candidates)
    assert set(seen) == set(speed.ROWS)


def test_what_is_slower_on_few_rows_alone_is_tried_on_many(monkeypatch, clock):
    """As a format is for which weights are copied first."""
    monkeypatch.setattr(speed, "SECONDS", 2.0)
    candidates = {
        "float32": lambda num_rows: clock.sleep(num_rows * 2e-6),
        "bf16": lambda num_rows: clock.sleep(2e-4 + num_rows * 5e-7),
    }
    times = measure_all(candidates)
    assert times["float32"] == pytest.approx(speed.ROWS[-1] * 2e-6, abs=1e-5)
    assert fastest(times, "float32").name == "bf16"
