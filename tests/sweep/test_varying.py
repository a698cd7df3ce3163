"""What --vary and --try say, as values of the keys' own types."""

import pytest

from transformer.sweep.space import Choice, Range
from transformer.sweep.varying import read_changes, read_space
from transformer.system.errors import UserError


@pytest.mark.parametrize(
    ("text", "key", "values"),
    [
        ("lr=3e-3,1e-2", "lr", Choice((0.003, 0.01))),
        ("num_blocks=2,1e1", "num_blocks", Choice((2, 10))),
        ("max_steps=none,7", "max_steps", Choice((None, 7))),
        ("compile=auto,false", "compile", Choice(("auto", False))),
        ("optimizer=adamw,muon", "optimizer", Choice(("adamw", "muon"))),
        ("data_path=../a,../b", "data_path", Choice(("../a", "../b"))),
        ("dropout=0..0.3", "dropout", Range(0.0, 0.3)),
        ("lr=1e-3..1e-1:log", "lr", Range(0.001, 0.1, log=True)),
        ("num_blocks=2..6", "num_blocks", Range(2, 6, whole=True)),
        ("warmup_steps=0..100", "warmup_steps", Range(0, 100, whole=True)),
    ],
)
def test_values_have_the_type_of_their_key(text, key, values):
    found = read_space([text])
    assert found == {key: values}
    if isinstance(values, Choice):
        assert [type(value) for value in found[key].values] == [*map(type, values.values)]


def test_a_change_may_have_several_keys_and_a_value_with_a_plus():
    changes = read_changes(["lr=1e+0+optimizer=muon", "data_path=a+b.txt"], {})
    assert changes == ({"lr": 1.0, "optimizer": "muon"}, {"data_path": "a+b.txt"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr", "--vary lr: write KEY=VALUE,VALUE or KEY=LOW..HIGH"),
        ("learning_rate=1,2", "unknown key 'learning_rate': did you mean lr"),
        ("seed=1,2", "seed: cannot be varied: --seeds N"),
        ("runs_dir=a,b", "runs_dir: cannot be varied"),
        ("devices=1,2", "devices: cannot be varied: each run of a sweep has one device"),
        (
            "val_fraction=0.1,0.2",
            "val_fraction: cannot be varied: the runs would be scored",
        ),
        ("lr=fast,1", "lr must be a number, got 'fast'"),
        ("lr=1,,2", "--vary lr=1,,2: no value stands beside a comma"),
        ("lr=0.01,", "without spaces, such as lr=A,B"),
        ("lr=", "no value stands after the equals sign"),
        ("=3", "--vary =3: no key stands before the equals sign"),
        ("lr=1e-3..1e-1:lin", "after a range stands :log or nothing, got ':lin'"),
        ("lr=0.1..0.1", "both ends are 0.1: give --lr 0.1 for all runs"),
        (f"lr=1..{10**400}", "a range needs two numbers"),
        ("lr=1e-2,0.01", "0.01 is given twice"),
        ("lr=1", "one value is nothing to compare"),
        ("lr=1..b", "a range needs two numbers, and 'b' is none"),
        ("lr=..1", "a range needs two numbers, and '' is none"),
        ("lr=2..1", "2 must be below 1"),
        ("dropout=0..0.1:log", "there is no logarithm of 0"),
        ("dropout=0..2", "dropout must be less than 1"),
        ("optimizer=a..b", "optimizer must be 'adamw' or 'muon'"),
    ],
)
def test_what_cannot_be_varied_is_named(text, message):
    with pytest.raises(UserError, match=message):
        read_space([text])
    with pytest.raises(UserError, match="lr: given twice"):
        read_space(["lr=1,2", "lr=3,4"])


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["dropout"], "write KEY=VALUE"),
        (["lr=0.5"], "--try lr=0.5: the config is so already"),
        (["lr=1", "lr=1e0"], "--try lr=1e0: given twice"),
        (["lr=1+lr=2"], "lr is given twice"),
        (["seed=1"], "cannot be varied"),
        (["lr=1,2"], "got '1,2'; to compare several values: --vary lr=1,2"),
        (["lr=1e-3..1e-1"], "to compare several values: --vary lr=1e-3..1e-1"),
        (["=1"], "no key stands before the equals sign"),
    ],
)
def test_a_change_that_is_none_is_named(texts, message):
    with pytest.raises(UserError, match=message):
        read_changes(texts, {"lr": 0.5})
