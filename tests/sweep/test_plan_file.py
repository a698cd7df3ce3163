"""sweep.yaml holds a plan exactly, and tells how another one differs."""

from dataclasses import replace
from pathlib import Path

import pytest

from transformer.sweep.plan_file import check_same, load, save
from transformer.sweep.space import Choice, Range
from transformer.system.errors import UserError

SPACE = {
    "lr": Range(1e-05, 0.1, log=True),
    "num_blocks": Range(2, 5, whole=True),
    "dropout": Choice((0.0, 1 / 3)),
    "max_steps": Choice((None, 3)),
    "sample_prompt": Choice(("none", "0123", "a: b\u2028", "yes")),
    "compile": Choice(("auto", True)),
}


@pytest.fixture
def plan(make_plan):
    return make_plan("random", SPACE, seeds=3, runs=7, minutes=0.1, measured={"speed": 1e-07})


def test_a_plan_comes_back_as_it_was(plan, make_plan, tmp_path):
    tried = make_plan("each", changes=({"lr": 1e-4, "norm": "rmsnorm"}, {"dropout": 0.0}))
    for one in (plan, tried):
        save(one, tmp_path / "sweep.yaml")
        found = load(tmp_path / "sweep.yaml")
        assert found == one
        assert list(found.space) == list(one.space)
        assert found.measured == one.measured


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": 4}, r"another sweep \(seeds 3 there, 4 here\): give another `name`"),
        ({"minutes": None}, "minutes 0.1 there, None here"),
        ({"search": "halving"}, "search random there, halving here"),
        (
            {"space": {"lr": Choice((1, 2))}},
            "lr 1e-05..0.1:log there, 1,2 here; num_bl",
        ),
        ({"changes": ({"lr": 1},)}, "try nothing there, lr=1 here"),
    ],
)
def test_what_differs_from_the_sweep_of_a_folder_is_named(plan, change, message):
    with pytest.raises(UserError, match=message):
        check_same(replace(plan, **change), plan, Path("sweeps/x"))
    with pytest.raises(UserError, match=r"lr 0.*there, 7 here"):
        check_same(replace(plan, base={**plan.base, "lr": 7}), plan, Path("sweeps/x"))


def test_another_number_of_processes_or_another_speed_is_the_same_sweep(plan):
    check_same(replace(plan, processes=2, measured={}), plan, Path("sweeps/x"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("format: 2\n", "its format is 2, and this version reads 1"),
        ("format: 1\nspace: {}\n", "damaged"),
        ("", "damaged"),
        ("a: [", "damaged"),
        ("format: 1\nspace: {lr: {lowest: 1}}\nchanges: []\n", "damaged"),
    ],
)
def test_a_damaged_file_is_told(tmp_path, text, message):
    (tmp_path / "sweep.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        load(tmp_path / "sweep.yaml")
