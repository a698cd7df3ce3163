"""sweep.yaml holds a plan exactly, and tells how another one differs."""

import math
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from transformer.sweep.plan_file import check_same, load, save
from transformer.sweep.registry import search_of
from transformer.sweep.space import Choice, Range
from transformer.system.errors import UserError

SPACE = {
    "lr": Range(1e-05, 0.1, log=True),
    "num_blocks": Range(2, 5, whole=True),
    "dropout": Choice((0.0, 1 / 3)),
    "feedforward_dim": Choice((None, 352)),
    "sample_prompt": Choice(("none", "0123", "a: b\u2028", "yes")),
    "compile": Choice(("auto", True)),
}


@pytest.fixture
def plan(make_plan):
    return make_plan("random", SPACE, seeds=3, runs=7, minutes=0.8, measured={"speed": 1e-07})


def test_a_plan_comes_back_as_it_was(plan, make_plan, tmp_path):
    tried = make_plan("each", changes=({"lr": 1e-4, "norm": "rmsnorm"}, {"dropout": 0.2}))
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
        ({"minutes": None}, "minutes 0.8 there, None here"),
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


MUTATIONS = [
    ("", "seeds", "two", "seeds must be a whole number, got 'two'"),
    ("", "seeds", 0, "seeds must be greater than 0, got 0"),
    ("", "seeds", None, "seeds must be a whole number, got None"),
    ("", "seeds", ..., "seeds must be given"),
    ("", "search", "foo", "search must be 'each', 'grid', 'halving'"),
    ("", "search", "each", "changes go with search each alone"),
    ("", "search", "scaling", "measured: unknown key 'speed'"),
    ("", "minutes", "xx", "minutes must be a number, got 'xx'"),
    ("", "minutes", 1e300, "minutes must be at most"),
    ("", "minutes", math.inf, "minutes must be a finite number"),
    ("", "processes", 0, "processes must be greater than 0, got 0"),
    ("", "runs", True, "runs must be a whole number"),
    ("", "runs", None, "give --runs N"),
    ("", "measured", 3, "measured must be keys with values, got 3"),
    ("", "changes", [1], r"changes must be keys with values, got \[1\]"),
    ("", "changes", [{"lr": 1}], "changes go with search each alone"),
    ("", "changes", [{}], "the config is so already"),
    ("", "space", None, "space must be keys with values"),
    ("", "base", [], "base must be keys with values"),
    ("", "base", {}, "base: batch_size must be given"),
    ("", "foo", 1, "unknown key 'foo': known are base, "),
    ("base", "lr", "zzz", "base: lr must be a number, got 'zzz'"),
    ("base", "lr", [1], r"base: lr must be .*, got \[1\]"),
    ("base", "foo", 1, "base: unknown key 'foo'"),
    ("base", "devices", 2, "devices must be 1 in a sweep"),
    ("base", "num_heads", 3, "embedding_dim must be divisible by num_heads"),
    ("base", "seed", 2**32 - 1, "the last seed would be above"),
    ("space", "lr", [0.1, "abc"], "space: lr must be a number, got 'abc'"),
    ("space", "lr", [], "space: lr: no value is nothing to compare"),
    ("space", "lr", "abc", "space: lr must be a list of values or a range, got 'abc'"),
    ("space", "lr", {"low": 1}, "space: lr: high, log, whole must be given"),
    ("space", "num_blocks", {"low": 1, "high": 2, "log": False, "whole": False}, "whole must be"),
    ("space", "lr", {"low": 0, "high": 10**400, "log": False, "whole": False}, "two numbers"),
    ("space", "optimizer", {"low": 1, "high": 2, "log": False, "whole": False}, "key with numbers"),
    ("space", "seed", [1, 2], "space seed: cannot be varied"),
    ("space", 1, [1, 2], "space: unknown key '1'"),
    ("space", "num_heads", [2, 3, 5, 7], "embedding_dim must be divisible by num_heads"),
]


@pytest.mark.parametrize(("where", "key", "value", "message"), MUTATIONS)
def test_an_edited_file_is_refused_in_one_line(plan, tmp_path, where, key, value, message):
    path = tmp_path / "sweep.yaml"
    save(plan, path)
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    within = values[where] if where else values
    if value is ...:
        del within[key]
    else:
        within[key] = value
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    with pytest.raises(UserError, match=message) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


LINE = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(
    ["null", "-1", ".nan", "{}", "[]", "[1]", "&a [*a]", "!!set {a}", "!!timestamp x", "{a: 1}"]
)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_file_in_which_a_value_is_replaced_is_a_plan_or_a_user_error(
    make_plan, tmp_path_factory, data
):
    path = tmp_path_factory.mktemp("any") / "sweep.yaml"
    save(make_plan("random", SPACE, seeds=3, runs=7, minutes=0.8), path)
    lines = path.read_text(encoding="utf-8").splitlines()
    place = data.draw(st.integers(0, len(lines) - 1))
    lines[place] = lines[place].partition(":")[0] + ": " + data.draw(LINE)
    path.write_text("\n".join(lines), encoding="utf-8")
    with suppress(UserError):
        found = load(path)
        for trial in search_of(found).trials([]):
            found.config(trial.settings, trial.limit)
        save(found, path)
        assert load(path) == found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("format: 2\n", "its format is 2, and this version reads 1"),
        ("format: 1\nspace: {}\n", "damaged"),
        ("", "damaged: it is empty"),
        ("3", "damaged: it is not `key: value` lines"),
        ("base: {}", "its format is not given"),
        ("a: [", "yaml:1: damaged: not valid YAML; correct it, or start another"),
        ("a: " + "[" * 5000, "damaged: nested too deeply"),
        ("format: 1\nspace: {lr: {lowest: 1}}\nchanges: []\n", "damaged"),
    ],
)
def test_a_damaged_file_is_told(tmp_path, text, message):
    (tmp_path / "sweep.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        load(tmp_path / "sweep.yaml")
