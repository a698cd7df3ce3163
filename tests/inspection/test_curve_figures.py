"""The figures of curves: which numbers each panel shows, their colors and their names."""

import pytest

from transformer.inspection.curve_figures import curves_figure
from transformer.storage.events import Point

TEXT = {
    "train_loss": [Point(10, 1.5, 4.0), Point(20, 2.5, 3.0), Point(30, 4.0, 2.5)],
    "val_loss": [Point(15, 2.0, 3.5), Point(30, 4.5, 2.75)],
}
PAIRS = TEXT | {"val_word_error_rate": [Point(15, 2.0, 0.75), Point(30, 4.5, 0.5)]}


def drawn(axes):
    return [tuple(zip(*line.get_data(), strict=True)) for line in axes.lines]


def labels(figure):
    (legend,) = figure.legends
    return [text.get_text() for text in legend.get_texts()]


def test_losses_stand_by_step_on_the_left_and_by_seconds_on_the_right():
    left, right = curves_figure({"a": TEXT}, {}).axes
    assert drawn(left) == [((10, 4.0), (20, 3.0), (30, 2.5)), ((15, 3.5), (30, 2.75))]
    assert drawn(right) == [((1.5, 4.0), (2.5, 3.0), (4.0, 2.5)), ((2.0, 3.5), (4.5, 2.75))]
    assert left.get_ylabel() == "loss (nats per character)"
    assert (left.get_xlabel(), right.get_xlabel()) == ("step", "time (seconds)")
    assert left.get_ylim() == right.get_ylim()


def test_a_floor_is_a_dashed_line_in_both_panels_with_its_number_in_the_legend():
    figure = curves_figure({"a": TEXT}, {"bigram floor": 2.345678})
    for axes in figure.axes:
        floor = axes.lines[-1]
        assert set(floor.get_ydata()) == {2.345678}
        assert floor.get_linestyle() == "--"
    assert labels(figure) == ["training", "validation", "bigram floor: 2.346"]


def test_one_run_is_named_above_and_several_in_the_legend():
    one, two = curves_figure({"$a_": TEXT}, {}), curves_figure({"$a_": TEXT, "_b^": TEXT}, {})
    assert one.get_suptitle() == "$a_"
    assert two.get_suptitle() == ""
    assert labels(two) == ["$a_", "_b^", "training", "validation"]
    two.draw_without_rendering()  # where math would be read, and not understood


def test_up_to_35_runs_differ_by_color_or_marker():
    figure = curves_figure({str(number): TEXT for number in range(35)}, {})
    lines = figure.axes[0].lines
    assert len({(line.get_color(), line.get_marker()) for line in lines[1::2]}) == 35
    for training, validation in zip(lines[::2], lines[1::2], strict=True):
        assert training.get_color() == validation.get_color()


@pytest.mark.parametrize("others", [{}, {"a text": TEXT}])
def test_runs_on_pairs_have_their_error_rates_below_in_percent(others):
    figure = curves_figure(others | {"pairs": PAIRS}, {})
    _, _, left, right = figure.axes
    assert ((15, 75.0), (30, 50.0)) in drawn(left)
    assert ((2.0, 75.0), (4.5, 50.0)) in drawn(right)
    assert left.get_ylabel() == "word error rate (%)"
    assert figure.axes[0].get_ylabel() == "loss (nats per token)"
    assert left.get_xlabel() == "step"


def test_a_run_before_its_first_validation_has_its_training_alone():
    figure = curves_figure({"a": {"train_loss": TEXT["train_loss"]}}, {})
    assert drawn(figure.axes[0]) == [((10, 4.0), (20, 3.0), (30, 2.5)), ()]
    figure.draw_without_rendering()
