"""A scaling law as a picture: loss against compute. No torch."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure  # without pyplot, which keeps global state

from transformer.inspection.axes_style import COLORS, GRAY, MARKERS, style_axes
from transformer.storage.curves import VAL_LOSS, read_curves
from transformer.sweep.plan import Plan
from transformer.sweep.scaling.outcome import Outcome, Reached, outcome_of
from transformer.sweep.trial import Result
from transformer.system.errors import UserError
from transformer.system.files import replacing

_POINTS = 100  # of the law's line
_SIZE, _DPI = (7.5, 5.0), 150  # inches


def write_picture(
    plan: Plan, results: Sequence[Result], path: Path, reached: float | None = None
) -> None:
    """Writes the PNG; `reached` is what the predicted run did reach, if it was trained too.

    Raises: UserError if too few sizes have worked.
    """
    figure = draw(plan, outcome_of(plan, results), reached)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=_DPI)


def draw(plan: Plan, outcome: Outcome, reached: float | None = None) -> Figure:
    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.subplots()
    for number, each in enumerate(outcome.reached):
        color, marker = COLORS[number % len(COLORS)], MARKERS[number % len(MARKERS)]
        axes.plot(*_curve(plan, each), color=color, linewidth=1.0, alpha=0.6)
        label = f"{each.size.name}, {each.size.weights:,} weights: {each.loss:.3f}"
        axes.plot(each.size.compute, each.loss, marker, color=color, label=label)
    computes = np.geomspace(outcome.reached[0].size.compute, outcome.next.compute, _POINTS)
    axes.plot(computes, [outcome.law(each) for each in computes], "--", color=GRAY, label="law")
    low, high = outcome.prediction.low, outcome.prediction.high
    loss = outcome.prediction.loss
    axes.errorbar(
        outcome.next.compute,
        loss,
        yerr=[[loss - low], [high - loss]],
        **{"fmt": "o", "color": GRAY, "markerfacecolor": "white", "capsize": 4},
        label=f"{outcome.next.name}: {loss:.3f} predicted (95 %: {low:.3f} to {high:.3f})",
    )
    if reached is not None:
        label = f"{outcome.next.name}: {reached:.3f} reached"
        axes.plot(outcome.next.compute, reached, "x", color="black", label=label)
    lowest = min(low, reached or low)
    highest = outcome.reached[0].loss
    axes.set_ylim(lowest - 0.05 * (highest - lowest), highest + 0.3 * (highest - lowest))
    axes.set_xscale("log")
    axes.set_xlabel("compute of the training (FLOPs)")
    axes.set_ylabel("val_loss (nats per token)")
    style_axes(axes)
    axes.legend(frameon=False, fontsize="small")
    return figure


def _curve(plan: Plan, reached: Reached) -> tuple[list[float], list[float]]:
    """Compute and loss at the validations of the first seed; empty if its events are gone."""
    run = reached.results[0].run
    flops = reached.size.compute / reached.size.max_steps
    try:
        points = read_curves(run).get(VAL_LOSS, []) if run else []
    except UserError:
        return [], []
    return [point.step * flops for point in points if point.step], [
        point.value for point in points if point.step
    ]
