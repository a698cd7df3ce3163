"""Losses on different texts, and of different tasks, are not compared without a word."""

from dataclasses import replace

import pytest

from transformer.config.compared_keys import SCORED_KEYS
from transformer.config.keys import Config
from transformer.sweep.planning import check_trials
from transformer.sweep.report import facts, table
from transformer.sweep.space import Choice
from transformer.sweep.trial import Result, Trial
from transformer.sweep.varying import FIXED
from transformer.system.errors import UserError

FILES = Choice(("a.txt", "b.txt"))
WARNING = "the runs are scored on different texts"


def table_and_keys(plan):
    (key,) = plan.keys
    results = [
        Result(Trial({key: value}, 0, {}, f"{value}"), None, 1.0, {}, None)
        for value in plan.space[key].plain()
    ]
    return table(plan, results), facts(plan, results)["keys_of_scored_texts"]


@pytest.mark.parametrize(("key", "values"), [("data_path", FILES), ("replace_rare", (3, 5))])
def test_a_line_says_that_texts_differ(make_plan, key, values):
    values = values if isinstance(values, Choice) else Choice(values)
    plan = make_plan("grid", {key: values})
    shown, keys = table_and_keys(plan)
    assert f"with other values of {key}, {WARNING}" in shown
    assert keys == [key]


def test_files_of_validation_make_texts_comparable(make_plan):
    plan = make_plan("grid", {"data_path": FILES})
    plan = replace(plan, base={**plan.base, "val_path": "c.txt"})
    shown, keys = table_and_keys(plan)
    assert WARNING not in shown
    assert keys == []
    assert WARNING not in table_and_keys(make_plan("grid", {"lr": Choice((0.1, 0.2))}))[0]


def test_keys_of_the_scored_text_are_keys_that_are_never_varied():
    assert {*SCORED_KEYS} <= {*FIXED} & {*Config.model_fields}


def test_models_of_different_tasks_are_not_compared(make_plan):
    varied = make_plan("grid", {"model": Choice(("gpt", "encoder_decoder"))})
    tried = make_plan("each", changes=({"model": "encoder_decoder"},))
    for plan in (varied, tried):
        message = "model gpt is a model of texts, and model encoder_decoder of pairs"
        with pytest.raises(UserError, match=message):
            check_trials(plan)
    check_trials(make_plan("grid", {"model": Choice(("gpt", "bigram"))}))
