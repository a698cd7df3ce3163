"""Each rule of the advice: a run that shows it, and runs that do not."""

import math

import pytest

from transformer.run.coach import (
    RULES,
    Finished,
    advice,
    copying,
    far_apart,
    learning_rate_at_the_edge,
    overfitting,
    skipped,
    spikes,
    still_falling,
)
from transformer.tasks.text_run import longest_copied
from transformer.training.callbacks.curves import thin

STEPS = range(10, 1001, 10)


def falling(start=4.0, end=1.4, speed=5):
    """Falls ever more slowly, as a good run does."""
    return [end + (start - end) * math.exp(-speed * step / 1000) for step in STEPS]


def run_of(train=None, val=None, **facts):
    train = falling() if train is None else train
    val = falling(end=1.5, speed=7) if val is None else val
    curves = {"train": train, "val": val}
    points = {name: list(zip(STEPS, curve, strict=True)) for name, curve in curves.items()}
    return Finished(step=1000, lr=0.01, **points | facts)


def changed(losses, at, value, length=1):
    return [*losses[:at], *[value] * length, *losses[at + length :]]


RISING = [2.0 - step / 1000 if step <= 400 else 1.6 + (step - 400) / 1000 for step in STEPS]
SHOWN = {
    overfitting: {"val": RISING, "train": falling(end=0.5)},
    still_falling: {"val": falling(end=1.0, speed=1), "train": falling(end=1.0, speed=1)},
    learning_rate_at_the_edge: {"train": changed(falling(), 50, 2.5, 40)},
    spikes: {"train": changed(falling(), 70, 3.0)},
    skipped: {"skipped_steps": 3},
    copying: {"copied": 75},
    far_apart: {"train": falling(end=1.2), "val": falling(end=1.5, speed=7)},
}


def test_every_rule_is_tried():
    assert set(SHOWN) == set(RULES)


def test_a_good_run_is_told_nothing():
    assert list(advice(run_of())) == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_run_that_shows_it_is_told_it_and_nothing_else(rule):
    (found,) = advice(run_of(**SHOWN[rule]))
    assert found == rule(run_of(**SHOWN[rule]))
    assert "--" in found.flags


def test_overfitting_is_said_with_its_step_and_what_helps():
    assert str(overfitting(run_of(**SHOWN[overfitting]))).startswith(
        "val_loss was lowest at step 400 (1.6000; these weights are kept), and 2.2000 at the end, "
    )
    flags = overfitting(run_of(**SHOWN[overfitting])).flags
    assert flags == (
        "--config config.yaml --max_steps 400 (the learning rate then falls in time) "
        "or --dropout 0.2, or a smaller --embedding_dim"
    )


@pytest.mark.parametrize(
    ("dropout", "advised"), [(0.0, "0.2"), (0.1, "0.2"), (0.2, "0.3"), (0.45, "0.5")]
)
def test_more_dropout_is_advised_than_there_is(dropout, advised):
    run = run_of(**SHOWN[overfitting], dropout=dropout)
    assert f"--dropout {advised}," in overfitting(run).flags


@pytest.mark.parametrize("dropout", [None, 0.5, 0.9])
def test_no_more_dropout_than_helps_and_none_for_a_model_without_it(dropout):
    for rule in (overfitting, copying):
        assert "--dropout" not in rule(run_of(**SHOWN[rule], dropout=dropout)).flags


@pytest.mark.parametrize(
    "val",
    [
        changed(falling(), 95, 1.3, 1),  # lowest near the end
        changed(falling(), 50, 1.415),  # hardly lower than at the end
        changed(falling(end=1e-5, speed=20), 50, 1e-6),  # ten times lower, and nothing
    ],
)
def test_a_loss_that_hardly_rose_is_no_overfitting(val):
    assert overfitting(run_of(val=val)) is None


def test_longer_is_advised_in_the_unit_of_the_limit():
    shown = SHOWN[still_falling]
    assert still_falling(run_of(**shown)).flags.startswith("--config config.yaml --max_steps 2000,")
    assert still_falling(run_of(**shown, max_minutes=1.5)).flags.startswith("--max_minutes 3,")
    by_steps = still_falling(run_of(**shown, max_minutes=1.5, ended_by_minutes=False)).flags
    assert by_steps.startswith("--config config.yaml --max_steps 2000 --max_minutes none,")
    learned_by_heart = shown | {"train": falling(end=0.3)}
    assert still_falling(run_of(**learned_by_heart)) is None


def test_other_steps_of_a_planned_run_keep_its_plan():
    """The command alone would plan anew, for another limit."""
    own = {"config_flag": "--config a.yaml", "ended_by_minutes": False}
    for rule in (overfitting, still_falling):
        assert rule(run_of(**SHOWN[rule], **own)).flags.startswith("--config a.yaml --max_steps ")
    longer = still_falling(
        run_of(**SHOWN[still_falling], config_flag="--config a", max_minutes=2.0)
    )
    assert longer.flags.startswith("--max_minutes 4,")  # a plan for more time


def test_several_seeds_are_advised_with_the_runs_own_config():
    shown = SHOWN[far_apart]
    flags = far_apart(run_of(**shown, sweep_flags="--config a.yaml --name a")).flags
    assert flags.startswith("python sweep.py --config a.yaml --name a --seeds 4 --ensemble")
    assert far_apart(run_of(**shown, picked_by_val_loss=False)) is None  # pairs are not averaged
    assert far_apart(run_of(**shown, dropout=None)) is None  # bigram models are all alike
    assert far_apart(run_of(**SHOWN[overfitting])) is None  # fewer steps help more


def test_a_spike_is_named_and_counted():
    twice = changed(changed(falling(), 30, 6.0), 70, 3.0)
    found = str(spikes(run_of(train=twice)))
    assert found.startswith("train_loss jumped up 2 times, to 6.0000 at step 310")
    assert found.endswith("--grad_clip 1")
    assert spikes(run_of(train=twice, grad_clip=1.0)).flags == "--lr 0.005"


def test_the_exact_loss_of_the_best_weights_is_named_where_it_is_known():
    found = overfitting(run_of(**SHOWN[overfitting], best_weights=(390, 1.5432)))
    assert "lowest at step 390 (1.5432;" in str(found)


def test_advice_names_what_the_run_has():
    longer = still_falling(run_of(**SHOWN[still_falling], epochs=3)).flags
    assert longer.startswith("--config config.yaml --max_steps 2000 --epochs none,")
    assert "float32" in skipped(run_of(skipped_steps=1)).flags
    assert "float32" not in skipped(run_of(skipped_steps=1, precision="float32")).flags
    for rule in (overfitting, still_falling, copying):
        assert "embedding_dim" not in rule(run_of(**SHOWN[rule], dropout=None)).flags


def test_a_long_curve_keeps_its_lowest_and_its_newest_point():
    points = []
    for step in range(1, 5000):
        points.append((step, 1.0 if step == 601 else 2.0))
        thin(points, 100)
        assert points[-1][0] == step
    assert len(points) <= 100
    assert (601, 1.0) in points
    assert points == sorted(points)


def test_noise_is_neither_a_spike_nor_an_edge():
    noisy = [loss * (1 + 0.05 * (-1) ** n) for n, loss in enumerate(falling())]
    assert spikes(run_of(train=noisy)) is learning_rate_at_the_edge(run_of(train=noisy)) is None


def test_pairs_are_picked_by_their_error_rate():
    for rule in (overfitting, still_falling):
        assert rule(run_of(**SHOWN[rule], picked_by_val_loss=False)) is None


def test_a_run_that_ended_at_once_has_no_curves_and_gets_no_advice():
    run = Finished(train=[], val=[], step=0, lr=0.01, skipped_steps=1)
    assert list(advice(run)) == []


@pytest.mark.parametrize("length", [40, 41, 65, 100])
@pytest.mark.parametrize("start", [0, 7, 20, 33])
def test_the_longest_passage_of_two_texts_is_found(length, start):
    text = "".join(chr(200 + (7 * n * n + n) % 1000) for n in range(300))
    passage = text[120 : 120 + length]
    written = "a" * start + passage + "b" * 50
    assert longest_copied(written, text) == length
    assert longest_copied("ab" * 100, text) == 0
    assert longest_copied("-" * 70, "a" + "-" * 80) == 0  # a ruler
