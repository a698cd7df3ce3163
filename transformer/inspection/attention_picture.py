"""Draws the attention of each block and head as a PNG picture."""

from io import BytesIO

import torch
from matplotlib.image import imsave

from transformer.inspection.attention_figures import as_image, attention_figure
from transformer.inspection.explanation import Explanation
from transformer.inspection.labels import shortened
from transformer.system.errors import UserError

MOST_LABELS = 180  # on one side of a picture of 20 inches, for all maps together
DOTS_PER_INCH = 150
STEPS = [digit * 10**zeros for zeros in range(7) for digit in (1, 2, 5)]  # between shown numbers


def as_png(explanation: Explanation) -> bytes:
    """The content of the file. Raises: UserError for a model without attention."""
    if not len(explanation.attention):
        raise UserError("this model has no attention to draw: give an `out` that ends in .html")
    most = MOST_LABELS // max(explanation.attention.shape[:2])
    labels = [tick_labels(units, most) for units in (explanation.rows, explanation.columns)]
    figure = attention_figure(torch.from_numpy(explanation.attention), *labels)
    figure.set_dpi(DOTS_PER_INCH)
    content = BytesIO()
    imsave(content, as_image(figure), format="png")
    return content.getvalue()


def tick_labels(units: list[str], most: int) -> list[str]:
    """The units, with visible white space; for more than `most` units, some position numbers."""
    if len(units) <= most:
        return [shortened(unit) for unit in units]
    step = next(step for step in STEPS if len(units) * 3 <= most * step)  # a number takes 3 labels
    return [str(number) if not number % step else "" for number in range(1, len(units) + 1)]
