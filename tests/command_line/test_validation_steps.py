"""When a run validates, and how much it looks at."""

import re
from pathlib import Path

import pytest
import torch

from tests.marks import first_fast
from transformer.storage.run_folder import LAST
from transformer.training.callbacks.after_batch import AfterBatch
from transformer.training.callbacks.throughput import Throughput


class StopAt(AfterBatch):
    def __init__(self, step):
        self.step = step

    def after_batch(self, trainer, batch):
        if trainer.global_step == self.step:
            raise SystemExit


@pytest.fixture
def settled(monkeypatch):
    """Tokens that a run's validations look at, each time that it is settled."""
    from transformer.data.text.datamodule import CharacterDataModule

    numbers = []
    monkeypatch.setattr(
        CharacterDataModule,
        "look_at",
        lambda self, number: numbers.append(number) or setattr(self, "most_val_tokens", number),
    )
    return numbers


@pytest.mark.slow
def test_under_a_time_limit_ten_validations_are_spread_over_the_run(train_here, caplog, settled):
    """Steps that are not known; a fifth of a minute each. A resumed run keeps to what it did."""
    caplog.set_level("INFO")
    keys = {"max_minutes": 10, "max_steps": None, "epochs": None, "val_every_steps": "auto"}
    keys["compile"] = False  # trying it takes real seconds, which count, too
    with pytest.raises(SystemExit):
        train_here(**keys, callbacks=[Seconds(12), StopAt(25)], run_name="run")
    before = steps_validated(caplog)
    folder = Path("runs", "run", "version_0")
    state = torch.load(folder / LAST, weights_only=True)
    assert state["global_step"] == before[-1]
    train_here(str(folder / "config.yaml"), resume=folder / LAST, callbacks=[Seconds(12)])
    steps = steps_validated(caplog)
    assert 10 <= len(steps) <= 50
    assert max(b - a for a, b in zip([0, *steps], steps, strict=False)) <= 7
    assert steps[-1] == pytest.approx(50, abs=2)
    assert settled == [117, 117]  # once it was settled, and where it was kept to: cheap, so all


def steps_validated(caplog):
    return list(map(int, re.findall(r"step (\d+): .*val_loss", caplog.text)))


class Seconds(AfterBatch):
    """Lets some pass, by a run's own clock, at each step."""

    def __init__(self, seconds):
        self.seconds = seconds

    def after_batch(self, trainer, batch):
        (throughput,) = [c for c in trainer.callbacks if isinstance(c, Throughput)]
        throughput._elapsed_before += self.seconds


@pytest.mark.parametrize("max_minutes", first_fast([10, None]))
def test_val_every_steps_holds_where_it_is_given(train_here, caplog, max_minutes):
    caplog.set_level("INFO")
    keys = {"max_minutes": max_minutes, "max_steps": 30, "val_every_steps": 13}
    train_here(**keys, callbacks=[Seconds(1)])
    assert steps_validated(caplog) == [13, 26, 30]


@pytest.mark.parametrize(
    ("steps", "number"), [(50, 5), pytest.param(100, 10, marks=pytest.mark.slow)]
)
def test_a_short_run_has_a_curve_of_validations(train_here, caplog, steps, number):
    caplog.set_level("INFO")
    train_here(max_steps=steps, val_every_steps="auto")
    validated = steps_validated(caplog)
    assert validated[-1] == steps
    assert len(validated) >= number


@pytest.mark.parametrize(("best_is_last", "num_written"), [(True, 2), (False, 3)])
def test_the_sample_of_the_best_weights_is_written_once(
    train_here, monkeypatch, capsys, best_is_last, num_written
):
    """If the last validation has shown it already, its text is shown again at the end."""
    written = []
    monkeypatch.setattr(
        "transformer.tasks.text_run.TextRun.examples",
        lambda self, model: written.append(f"sample {len(written) + 1} .") or written[-1],
    )
    lr = 1e-3 if best_is_last else 10.0  # which only makes the model worse
    train_here(max_steps=4, val_every_steps=2, lr=lr, warmup_steps=0)
    assert len(written) == num_written
    assert written[-1] in capsys.readouterr().out
