import warnings
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure  # without pyplot, which keeps global state
from numpy.typing import NDArray
from torch import Tensor

from transformer.data.tokenizers.pairs import PairTokenizer
from transformer.models.base import evaluating
from transformer.models.encoder_decoder import EncoderDecoder
from transformer.special_ids import BEGIN

_CELL_INCHES = 0.2
_LEAST_INCHES = 1.6
_LABEL_POINTS = 9  # 12.5 pixels
_MOST_INCHES = 20.0  # of a figure's longer side
_MOST_SHOWN = 40  # units per side; the rest is cut off
_UPRIGHT = 3  # letters of a label under a map: longer ones are turned


@torch.inference_mode()
def cross_attention_figure(
    model: EncoderDecoder, tokenizer: PairTokenizer, source: str, target: str
) -> Figure:
    """How much the model read from each source unit when it chose each target unit.

    There is one map for each block and head. The last row, `end`, belongs to the choice to end the
    target; a target that is cut off has no such row.
    """
    device = next(model.parameters()).device
    most = min(_MOST_SHOWN, model.block_size + 1)
    tokens = [BEGIN, *tokenizer.target.encode(target).tolist()][:most]
    with evaluating(model):
        weights = model.cross_attention_weights(
            torch.tensor([tokenizer.source.encode(source).tolist()], device=device),
            torch.tensor([tokens], device=device),
        )
    rows = [*tokenizer.target.split(target), "end"][:most]
    columns = tokenizer.source.split(source)[:_MOST_SHOWN]
    return attention_figure(weights[:, 0, :, :, : len(columns)], rows, columns)


def attention_figure(
    weights: Float[Tensor, "N H T S"], rows: Sequence[str], columns: Sequence[str]
) -> Figure:
    """One map for each block (from top to bottom) and head (from left to right).

    Row: the position that reads; column: the position it reads from; darker means more. An empty
    label has no tick.
    """
    num_blocks, num_heads, num_rows, num_columns = weights.shape
    width = max(_LEAST_INCHES, _CELL_INCHES * num_columns)
    height = max(_LEAST_INCHES, _CELL_INCHES * num_rows)
    size = np.array([num_heads * width + 0.6, num_blocks * height + 0.6])
    size *= min(1.0, _MOST_INCHES / size.max())
    figure = Figure(figsize=tuple(size), layout="constrained")
    grid = figure.subplots(num_blocks, num_heads, squeeze=False)
    for block, axes_row in enumerate(grid):
        for head, axes in enumerate(axes_row):
            image = weights[block, head].float().cpu().numpy()
            axes.imshow(image, cmap="Blues", vmin=0, vmax=1, aspect="auto")
            axes.set_title(f"block {block + 1}, head {head + 1}", fontsize=_LABEL_POINTS)
            plain = {"fontsize": _LABEL_POINTS, "parse_math": False}  # a unit may hold a $
            for axis, labels in ((axes.xaxis, columns), (axes.yaxis, rows)):
                places = [place for place, label in enumerate(labels) if label]
                turned = axis is axes.xaxis and any(len(label) > _UPRIGHT for label in labels)
                turn = {"rotation": 90} if turned else {}
                axis.set_ticks(places, [labels[place] for place in places], **plain, **turn)
            axes.tick_params(length=0)
    return figure


def as_image(figure: Figure) -> NDArray[np.uint8]:
    """Height x width x RGB; a character that the font lacks becomes a hollow box."""
    canvas = FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
