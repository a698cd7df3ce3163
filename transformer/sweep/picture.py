"""sweep.png: the losses of each combination by seed, their mean and its interval. No torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure  # without pyplot, which keeps global state
from matplotlib.ticker import FixedLocator, NullLocator

from transformer.inspection.axes_style import COLORS, GRAY, MARKERS, style_axes
from transformer.sweep.comparison import Combination, combinations_of, ranked
from transformer.sweep.intervals import interval
from transformer.sweep.plan import Plan
from transformer.sweep.trial import Result
from transformer.system.files import replacing

MOST_ROWS = 40
DOTS_PER_INCH = 150
_WIDTH, _CURVE_HEIGHT, _ROW_HEIGHT, _EDGES = 9.0, 5.0, 0.3, 1.6  # inches
_LONGEST = 70  # characters of a label
_LEGEND_SEEDS = 7  # with more, seeds look alike
_MOST_TICKS = 8
_WIDE = 20  # a largest value over the smallest, from which on an axis is logarithmic


_SEED: dict[str, Any] = {"linestyle": "none", "markersize": 5, "alpha": 0.8}
_MEAN: dict[str, Any] = {
    **{"color": "black", "linestyle": "none", "zorder": 4, "capsize": 3, "markersize": 12},
    "label": "mean and its 95 % interval",
}


@dataclass(frozen=True)
class Upward:
    """Losses on the y axis, and combinations at places on the x axis."""

    axes: Axes

    def marks(self, places: Sequence[float], losses: Sequence[float], **style: Any) -> None:
        self.axes.plot(places, losses, **style)

    def means(self, places: Any, losses: Any, halves: Any) -> None:
        """`halves` are the half widths of the intervals."""
        self.axes.errorbar(places, losses, yerr=halves, marker="_", **_MEAN)


@dataclass(frozen=True)
class Across:
    """Losses on the x axis, and combinations at places on the y axis."""

    axes: Axes

    def marks(self, places: Sequence[float], losses: Sequence[float], **style: Any) -> None:
        self.axes.plot(losses, places, **style)

    def means(self, places: Any, losses: Any, halves: Any) -> None:
        """`halves` are the half widths of the intervals."""
        self.axes.errorbar(losses, places, xerr=halves, marker="|", **_MEAN)


def write_picture(plan: Plan, results: Sequence[Result], path: Path) -> None:
    """Writes no picture if no run has a loss."""
    found = [one for one in ranked(combinations_of(results)) if one.losses]
    if not found:
        return
    figure = sweep_figure(found, plan.metric)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=DOTS_PER_INCH)


def sweep_figure(found: Sequence[Combination], metric: str) -> Figure:
    """The loss against the key if one numeric key is varied, else a row for each combination."""
    key = numeric_key(found)
    shown = found if key else found[:MOST_ROWS]
    height = _CURVE_HEIGHT if key else _EDGES + _ROW_HEIGHT * len(shown)
    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    axes = figure.subplots()
    if key:
        _draw_curve(axes, shown, key)
        axes.set_ylabel(metric)
    else:
        _draw_rows(axes, shown)
        axes.set_xlabel(metric)
    if len(shown) < len(found):
        axes.set_title(f"the {len(shown)} best of {len(found)} combinations", fontsize="medium")
    style_axes(axes)
    legend = figure.legend(loc="outside lower center", ncols=_LEGEND_SEEDS + 1, frameon=False)
    legend.set_in_layout(True)
    return figure


def numeric_key(found: Sequence[Combination]) -> str | None:
    """The key that alone is varied, if its values are at least two numbers."""
    keys = {key for one in found for key in one.settings}
    same_limit = len({str(one.limit) for one in found}) == 1
    if len(keys) != 1 or len(found) < 2 or not same_limit:
        return None
    (key,) = keys
    values = [one.settings.get(key) for one in found]
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    return key if numbers else None


def _draw_rows(axes: Axes, shown: Sequence[Combination]) -> None:
    """The first combination on top; losses from left to right."""
    several = len({str(one.limit) for one in shown}) > 1
    places = [float(place) for place in range(len(shown))]
    _draw_seeds(Across(axes), shown, places)
    axes.set_yticks(places, [_label(one, with_limit=several) for one in shown])
    for text in axes.get_yticklabels():
        text.set_parse_math(False)  # a value may hold a $
    axes.set_ylim(len(shown) - 0.5, -0.5)


def _label(one: Combination, *, with_limit: bool) -> str:
    limit = "".join(f"{key} {value:g}: " for key, value in one.limit.items()) * with_limit
    text = f"{limit}{one.label}"
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _draw_curve(axes: Axes, shown: Sequence[Combination], key: str) -> None:
    ordered = sorted(shown, key=lambda one: one.settings[key])
    places = [float(one.settings[key]) for one in ordered]
    if places[0] > 0 and places[-1] / places[0] >= _WIDE:
        axes.set_xscale("log")
    axes.plot(places, [one.mean for one in ordered], color=GRAY, linewidth=1, zorder=2)
    _draw_seeds(Upward(axes), ordered, places)
    axes.set_xlabel(key, parse_math=False)
    if len(places) <= _MOST_TICKS:
        axes.xaxis.set_major_locator(FixedLocator(places))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticks(places, [f"{place:g}" for place in places])


def _draw_seeds(
    direction: Upward | Across, shown: Sequence[Combination], places: Sequence[float]
) -> None:
    """A mark for each seed, and the mean of each combination with its interval."""
    seeds = sorted({seed for one in shown for seed in one.losses})
    few = len(seeds) <= _LEGEND_SEEDS
    for number, seed in enumerate(seeds):
        known = [
            (at, one.losses[seed])
            for at, one in zip(places, shown, strict=True)
            if seed in one.losses
        ]
        number_of_style = number if few else 0
        style: dict[str, Any] = {
            "color": COLORS[number_of_style % len(COLORS)],
            "marker": MARKERS[number_of_style % len(MARKERS)],
            "label": f"seed {seed}" if few else "a seed" if number == 0 else None,
        }
        direction.marks(*zip(*known, strict=True), **_SEED, **style)
    if len(seeds) > 1:
        means = [interval([*one.losses.values()]) for one in shown]
        halves = [0.0 if found.low is None else found.mean - found.low for found in means]
        direction.means(places, [found.mean for found in means], halves)
