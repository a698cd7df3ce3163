"""Curves of runs as figures of matplotlib. Imports no torch."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure  # drawn without pyplot, which keeps state
from matplotlib.lines import Line2D

from transformer.inspection.curves import ERROR_RATE, TRAIN_LOSS, VAL_LOSS
from transformer.storage.events import Curves

# Okabe and Ito 2008, "Color Universal Design", without the yellow, which is pale on white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
# Their number and that of the colors share no divisor: 35 runs before two look alike.
MARKERS = ("o", "s", "D", "^", "v")
_SEVERAL = "0.35"  # the gray of what is no one run's
_WIDTH, _ROW_HEIGHT, _LEGEND_HEIGHT = 10.0, 3.7, 0.3  # inches
_MOST_LEGEND_COLUMNS = 4


def curves_figure(runs: Mapping[str, Curves], floors: Mapping[str, float]) -> Figure:
    """Losses by step (left) and by seconds (right), of runs and of floors by their names.

    Below them the word error rates, where a run has any.
    """
    of_pairs = any(ERROR_RATE in curves for curves in runs.values())
    legend = _legend(runs, floors)
    legend_rows = -(-len(legend) // _MOST_LEGEND_COLUMNS)
    height = (1 + of_pairs) * _ROW_HEIGHT + (1 + legend_rows) * _LEGEND_HEIGHT
    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    grid = figure.subplots(1 + of_pairs, 2, sharex="col", sharey="row", squeeze=False)
    for axes, moment in zip(grid[0], ("step", "seconds"), strict=True):
        _draw(axes, runs, (TRAIN_LOSS, VAL_LOSS), moment)
        for loss in floors.values():
            axes.axhline(loss, **_style("floor"))
    grid[0, 0].set_ylabel(f"loss (nats per {'token' if of_pairs else 'character'})")
    if of_pairs:
        for axes, moment in zip(grid[1], ("step", "seconds"), strict=True):
            _draw(axes, runs, (ERROR_RATE,), moment, scale=100.0)
        grid[1, 0].set_ylabel("word error rate (%)")
        grid[1, 0].set_ylim(bottom=0)
    grid[-1, 0].set_xlabel("step")
    grid[-1, 1].set_xlabel("time (seconds)")
    if len(runs) == 1:
        figure.suptitle(*runs, fontsize="medium", parse_math=False)
    _add_legend(figure, legend)
    return figure


def _draw(
    axes: Axes, runs: Mapping[str, Curves], names: Sequence[str], moment: str, scale: float = 1.0
) -> None:
    """`moment` is the field of a point that goes to the right."""
    for number, curves in enumerate(runs.values()):
        for name in names:
            points = curves.get(name, [])
            moments = [getattr(point, moment) for point in points]
            axes.plot(moments, [scale * point.value for point in points], **_style(name, number))
    axes.set_xlim(left=0)
    axes.grid(color="0.92")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _style(name: str, number: int | None = None) -> dict[str, Any]:
    """Of a curve of a run by its number; of the curves of all runs without."""
    color = _SEVERAL if number is None else COLORS[number % len(COLORS)]
    marker = "o" if number is None else MARKERS[number % len(MARKERS)]
    if name == "floor":
        return {"color": color, "linestyle": "--", "linewidth": 1.2}
    if name == TRAIN_LOSS:
        return {"color": color, "linewidth": 0.9, "alpha": 0.5}
    return {"color": color, "linewidth": 1.6, "marker": marker, "markersize": 4}


def _legend(runs: Mapping[str, Curves], floors: Mapping[str, float]) -> list[tuple[str, Line2D]]:
    """One run's curves by what they are; several by their runs, and then what they are."""
    number = 0 if len(runs) == 1 else None
    styles = []
    if number is None:
        styles += [(name, _style(VAL_LOSS, place)) for place, name in enumerate(runs)]
    styles += [("training", _style(TRAIN_LOSS, number)), ("validation", _style(VAL_LOSS, number))]
    styles += [(f"{name}: {loss:z.3f}", _style("floor")) for name, loss in floors.items()]
    return [(label, Line2D([], [], **style)) for label, style in styles]


def _add_legend(figure: Figure, entries: Sequence[tuple[str, Line2D]]) -> None:
    labels, lines = zip(*entries, strict=True)
    legend = figure.legend(
        lines,
        labels,
        loc="outside lower center",
        ncols=min(len(lines), _MOST_LEGEND_COLUMNS),
        frameon=False,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)  # a run's name may hold a $
