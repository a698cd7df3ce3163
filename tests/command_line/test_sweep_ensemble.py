"""`sweep.py --ensemble`: the averaged model of a combination's seeds."""

import json

import pytest

import evaluate
from transformer.storage.run_folder import SUMMARY
from transformer.sweep.ensemble import ensemble_facts, ensemble_table, score_ensembles
from transformer.sweep.plan import Plan
from transformer.sweep.planning import check_ensemble
from transformer.sweep.trial import Result, Trial
from transformer.system.errors import UserError


def test_its_loss_is_that_of_evaluate_with_the_same_models(train_here, capsys):
    results, told = [], []
    for seed, lr in ((0, 0.01), (1, 0.01), (0, 0.1)):
        changes = {"seed": seed, "lr": lr, "run_name": f"{lr}-{seed}", "test_fraction": 0.2}
        run = train_here(max_steps=10, **changes)
        summary = json.loads((run / SUMMARY).read_text(encoding="utf-8"))
        trial = Trial({"lr": lr}, seed, {}, run.parent.name)
        results.append(Result(trial, run, summary["val_loss"], summary, None))
    (found,) = score_ensembles(results, told.append)  # a single seed is averaged with nothing
    capsys.readouterr()
    runs = [str(result.run) for result in results[:2]]
    assert evaluate.main([*runs, "--json", "--split", "validation"]) == 0
    scores = json.loads(capsys.readouterr().out)["scores"]
    assert found.loss == scores["averaged"]["loss"]
    assert found.mean == scores["their mean"]["loss"]
    # The summary's loss is summed up in other batches, in float32.
    assert found.mean == pytest.approx(sum(r.loss for r in results[:2]) / 2, abs=1e-5)
    assert (found.settings, list(found.seeds)) == ({"lr": 0.01}, [0, 1])
    assert told == [f"averaged: lr 0.01: {found.loss:.4f}"]
    (line,) = [line for line in ensemble_table([found]).splitlines() if "lr 0.01" in line]
    assert line.split()[2:] == ["2", *(f"{x:.4f}" for x in (found.mean, found.loss, found.gain))]
    assert ensemble_facts([found])[0]["gain"] == found.mean - found.loss


@pytest.mark.parametrize(
    ("model", "seeds", "match"),
    [
        ("encoder_decoder", 3, "averages models of texts, and this sweep trains models of pairs"),
        ("gpt", 1, "give `seeds=2` or more"),
    ],
)
def test_what_cannot_be_averaged_is_an_error_before_anything_trains(model, seeds, match):
    with pytest.raises(UserError, match=match):
        check_ensemble(Plan({"model": model, "seed": 0}, "grid", seeds=seeds))
