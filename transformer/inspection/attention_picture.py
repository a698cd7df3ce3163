"""The attention of each block and head as a picture."""

import torch
from matplotlib.image import imsave

from transformer.inspection.attention_figures import as_image, attention_figure
from transformer.inspection.explanation import Explanation
from transformer.system.errors import UserError
from transformer.system.files import replacing

MOST_LABELS = 180  # a side of a picture of 20 inches, all maps together
DOTS_PER_INCH = 150
STEPS = [digit * 10**zeros for zeros in range(7) for digit in (1, 2, 5)]  # between numbers
SHOWN_AS = {"\n": "↵", "\t": "⇥", " ": "␣"}


def write_picture(path: str, explanation: Explanation) -> None:
    """Raises: UserError for a model without attention."""
    if not len(explanation.attention):
        raise UserError("this model has no attention to draw: give an `out` that ends in .html")
    most = MOST_LABELS // max(explanation.attention.shape[:2])
    labels = [tick_labels(units, most) for units in (explanation.rows, explanation.columns)]
    figure = attention_figure(torch.from_numpy(explanation.attention), *labels)
    figure.set_dpi(DOTS_PER_INCH)
    with replacing(path) as temporary:
        imsave(temporary, as_image(figure), format="png")


def tick_labels(units: list[str], most: int) -> list[str]:
    """The units with white space made visible; of too many, the numbers of some positions."""
    if len(units) <= most:
        return [SHOWN_AS.get(unit, unit) for unit in units]
    step = next(step for step in STEPS if len(units) * 3 <= most * step)  # a number is 3 wide
    return [str(number) if not number % step else "" for number in range(1, len(units) + 1)]
