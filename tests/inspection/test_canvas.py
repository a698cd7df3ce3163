import numpy as np
import pytest
from matplotlib import colormaps

from transformer.inspection.canvas import Canvas, color_table


def ink(canvas):
    """Top, left, bottom and right of all that is not white."""
    rows, columns = np.nonzero((canvas.pixels() < 255).any(axis=-1))
    return rows.min(), columns.min(), rows.max() + 1, columns.max() + 1


@pytest.mark.parametrize("name", ["Blues", "RdBu_r"])
def test_colors_are_matplotlibs(name):
    expected = colormaps[name](np.arange(256), bytes=True)[:, :3].astype(int)
    assert abs(color_table(name) - expected).max() <= 1  # which cuts off what is rounded here


@pytest.mark.parametrize(("align", "share"), [("left", 0), ("middle", 0.5), ("right", 1)])
def test_letters_stand_on_their_line_at_the_place_they_are_aligned_to(align, share):
    canvas = Canvas(101, 31)
    canvas.write(50, 20, "HHH", align)
    top, left, bottom, right = ink(canvas)
    assert (top < 12, bottom) == (True, 20)
    assert abs((1 - share) * left + share * right - 50) <= 2  # space around a letter


def test_text_that_is_written_upwards_is_turned_to_the_left():
    upwards, across = Canvas(31, 101), Canvas(101, 31)
    upwards.write_upwards(15, 7, "Fg")
    across.write(7, 20, "Fg")
    top, left, bottom, right = ink(upwards)
    assert top == 7
    assert abs((left + right) / 2 - 15) <= 1
    a, b, c, d = ink(across)
    turned = np.rot90(across.pixels()[a:c, b:d])
    assert np.array_equal(upwards.pixels()[top:bottom, left:right], turned)


def test_a_frame_is_around_its_pixels_and_leaves_them_white():
    canvas = Canvas(31, 31)
    canvas.frame(5, 7, 11, 13)
    assert ink(canvas) == (6, 4, 21, 17)
    assert (canvas.pixels()[7:20, 5:16] == 255).all()
