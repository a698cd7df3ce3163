"""Training curves as matplotlib figures. Imports no torch."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure  # without pyplot, which keeps global state
from matplotlib.lines import Line2D

from transformer.inspection.axes_style import COLORS, GRAY, MARKERS, style_axes
from transformer.storage.curves import ERROR_RATE, TRAIN_LOSS, VAL_LOSS
from transformer.storage.events import Curves

_WIDTH, _ROW_HEIGHT, _LEGEND_HEIGHT = 10.0, 3.7, 0.3  # inches
_MOST_LEGEND_COLUMNS = 4


def curves_figure(
    runs: Mapping[str, Curves], floors: Mapping[str, float], unit: str = "nats per character"
) -> Figure:
    """Losses over steps (left) and over seconds (right); floors are dashed lines.

    If a run has word error rates, they are drawn below. Both arguments are keyed by name.
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
    grid[0, 0].set_ylabel(f"loss ({'nats per token' if of_pairs else unit})")
    if of_pairs:
        for axes, moment in zip(grid[1], ("step", "seconds"), strict=True):
            _draw(axes, runs, (ERROR_RATE,), moment, scale=100.0)
        grid[1, 0].set_ylabel("word error rate (%)")
        grid[1, 0].set_ylim(bottom=0)
    grid[-1, 0].set_xlabel("step")
    grid[-1, 1].set_xlabel("time (seconds)")
    if len(runs) == 1:
        figure.suptitle(*runs, fontsize="medium", parse_math=False)
    shown = figure.legend(
        handles=legend,
        loc="outside lower center",
        ncols=min(len(legend), _MOST_LEGEND_COLUMNS),
        frameon=False,
    )
    for text in shown.get_texts():
        text.set_parse_math(False)  # a run's name may hold a $
    return figure


def _draw(
    axes: Axes, runs: Mapping[str, Curves], names: Sequence[str], moment: str, scale: float = 1.0
) -> None:
    """`moment` is the field of `Point` that the x axis shows."""
    for number, curves in enumerate(runs.values()):
        for name in names:
            points = curves.get(name, [])
            moments = [getattr(point, moment) for point in points]
            axes.plot(moments, [scale * point.value for point in points], **_style(name, number))
    axes.set_xlim(left=0)
    style_axes(axes)


def _style(name: str, number: int | None = None) -> dict[str, Any]:
    """The style of a curve of the given run; without a number, of that curve in all runs."""
    color = GRAY if number is None else COLORS[number % len(COLORS)]
    marker = "o" if number is None else MARKERS[number % len(MARKERS)]
    if name == "floor":
        return {"color": color, "linestyle": "--", "linewidth": 1.2}
    if name == TRAIN_LOSS:
        return {"color": color, "linewidth": 0.9, "alpha": 0.5}
    return {"color": color, "linewidth": 1.6, "marker": marker, "markersize": 4}


def _legend(runs: Mapping[str, Curves], floors: Mapping[str, float]) -> list[Line2D]:
    """Names the curves if there is one run; otherwise the runs first, then the curves."""
    number = 0 if len(runs) == 1 else None
    styles = []
    if number is None:
        styles += [(name, _style(VAL_LOSS, place)) for place, name in enumerate(runs)]
    styles += [("training", _style(TRAIN_LOSS, number)), ("validation", _style(VAL_LOSS, number))]
    styles += [(f"{name}: {loss:z.3f}", _style("floor")) for name, loss in floors.items()]
    return [Line2D([], [], label=label, **style) for label, style in styles]
