"""Options that train badly together are warned of: a covering array of them, on real data."""

from itertools import combinations, product

import pytest


def doubts_of(config):
    return config.family_settings().doubts(config.warmup_steps)


def test_a_covering_array_has_every_pair_of_values_and_few_rows(load_benchmark):
    script = load_benchmark("combinations")
    rows = script.covering_array(script.OPTIONS)
    for one, other in combinations(script.OPTIONS, 2):
        wanted = set(product(script.OPTIONS[one], script.OPTIONS[other]))
        assert {(row[one], row[other]) for row in rows} == wanted
    assert len(rows) <= 24  # 4 positions x 5 activations are 20 pairs, one a row


@pytest.mark.slow(seconds=90)
def test_every_pair_of_options_trains_or_is_warned_of(
    load_benchmark, not_drawn, tmp_path, monkeypatch
):
    """A row that a run has doubts of may be anywhere; the script explains the margins."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PL_GLOBAL_SEED", "0")  # Lightning sets it; this takes it back
    monkeypatch.setattr("transformer.tasks.text_run.SAMPLE_TOKENS", 5)
    for name, function in not_drawn.items():
        monkeypatch.setattr(name, function)
    script = load_benchmark("combinations")
    rows = script.covering_array(script.OPTIONS)
    losses = [row | {"loss": script.train_row(row)} for row in rows]
    bad = []
    for row, above in zip(rows, script.above_best(losses), strict=True):
        if above > script.MARGINS[row["model"]] and not doubts_of(script.config_of(row)):
            bad.append(row | {"above": above})
    assert not bad
