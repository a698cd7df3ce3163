"""sweep.png: each loss by seed, means with intervals, and names that are no mathematics."""

import numpy as np
import pytest
from PIL import Image

from transformer.sweep.comparison import combinations_of
from transformer.sweep.intervals import interval
from transformer.sweep.picture import MOST_ROWS, numeric_key, sweep_figure, write_picture
from transformer.sweep.plan import Plan
from transformer.sweep.trial import Result, Trial

PLAN = Plan({"model": "gpt", "seed": 0}, "grid")


def results_of(rows):
    return [
        Result(Trial(settings, seed, {}, f"{settings}-{seed}"), None, loss, {}, None)
        for settings, losses in rows
        for seed, loss in enumerate(losses)
    ]


def figure_of(rows):
    return sweep_figure(combinations_of(results_of(rows)), "val_loss")


def points(axes):
    """Label -> the points of a line."""
    lines = [line for line in axes.lines if line.get_label()[0] != "_"]
    return {line.get_label(): [*zip(*line.get_data(), strict=True)] for line in lines}


def test_one_numeric_key_is_an_axis_and_far_values_make_it_logarithmic():
    rows = [({"lr": 0.1}, [2.0, 4.0]), ({"lr": 0.001}, [1.0, None]), ({"lr": 0.01}, [0.5, 1.0])]
    (axes,) = figure_of(rows).axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("lr", "val_loss")
    assert axes.get_xscale() == "log"
    drawn = points(axes)
    assert drawn["seed 0"] == [(0.001, 1.0), (0.01, 0.5), (0.1, 2.0)]
    assert drawn["seed 1"] == [(0.01, 1.0), (0.1, 4.0)]  # the failed one is left out
    (mean,) = [line for line in axes.lines if line.get_linestyle() == "-"]
    assert [*mean.get_ydata()] == [1.0, 0.75, 3.0]


def test_other_combinations_are_rows_with_their_means_and_intervals():
    rows = [({"qk_norm": False}, [1.0, 2.0]), ({}, [3.0, 5.0])]
    (axes,) = figure_of(rows).axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["qk_norm false", "the config"]
    assert axes.yaxis_inverted()  # the first one on top
    assert points(axes)["seed 1"] == [(2.0, 0), (5.0, 1)]
    (bars,) = axes.containers
    (segments,) = bars.lines[2]
    _, low, high, _ = interval([3.0, 5.0])
    assert np.allclose(segments.get_segments()[1], [(low, 1), (high, 1)])


def test_names_are_shown_letter_by_letter(tmp_path):
    """A $ does not begin a formula, in which an underscore or a brace would be an error."""
    names = ["$a_{b$.txt", "a_b_c.txt", "$x$", "\\frac{1"]
    rows = [({"data_path": name}, [1.0, 1.5]) for name in names]
    figure = figure_of(rows)
    (axes,) = figure.axes
    figure.draw_without_rendering()
    labels = axes.get_yticklabels()
    assert [text.get_text() for text in labels] == [f"data_path {name}" for name in names]
    assert not any(text.get_parse_math() for text in labels)
    write_picture(PLAN, results_of(rows), tmp_path / "sweep.png")


@pytest.mark.parametrize("losses", [[1.5], [1.5, 1.5], [1.0, None, 2.0]])
def test_a_sweep_of_one_combination_has_a_picture(losses, tmp_path):
    rows = [({}, losses)]
    (axes,) = figure_of(rows).axes
    drawn = {name: line for name, line in points(axes).items() if name.startswith("seed")}
    assert drawn == {f"seed {n}": [(x, 0)] for n, x in enumerate(losses) if x is not None}
    assert len(axes.containers) == (len(drawn) > 1)
    write_picture(PLAN, results_of(rows), tmp_path / "sweep.png")
    with Image.open(tmp_path / "sweep.png") as image:
        assert image.width > image.height


def test_without_a_loss_there_is_no_picture(tmp_path):
    write_picture(PLAN, results_of([({}, [None])]), tmp_path / "sweep.png")
    assert [*tmp_path.iterdir()] == []


def test_of_many_combinations_the_best_are_shown():
    rows = [({"lr": n, "dropout": n / 100}, [float(n)]) for n in range(1, MOST_ROWS + 4)]
    (axes,) = figure_of(rows).axes
    assert len(axes.get_yticklabels()) == MOST_ROWS
    assert axes.get_title() == f"the {MOST_ROWS} best of {MOST_ROWS + 3} combinations"


def test_switches_and_pairs_of_keys_are_no_axis():
    for first, second in (
        ({"bias": True}, {"bias": False}),
        ({"lr": 1}, {}),
        ({"lr": 1}, {"eps": 1}),
    ):
        assert numeric_key(combinations_of(results_of([(first, [1.0]), (second, [2.0])]))) is None
