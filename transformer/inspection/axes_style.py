"""How all charts look. Imports no torch."""

from matplotlib.axes import Axes

# Okabe and Ito 2008, "Color Universal Design", without yellow, which is hard to see on white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
# 5 markers and 7 colors have no common divisor, so 35 runs look different.
MARKERS = ("o", "s", "D", "^", "v")
GRAY = "0.35"  # for lines that do not belong to a single run


def style_axes(axes: Axes) -> None:
    """A light grid behind the lines, and no frame above or on the right."""
    axes.grid(color="0.92")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
