"""Attention maps as figures of matplotlib."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from matplotlib.figure import Figure  # drawn without pyplot, which keeps state
from torch import Tensor

from transformer.data.pair_tokenizers import PairTokenizer
from transformer.defaults import BEGIN
from transformer.models.base import evaluating
from transformer.models.encoder_decoder import EncoderDecoder

_CELL_INCHES = 0.16
_LEAST_INCHES = 1.2
_LABEL_POINTS = 6
_MOST_SHOWN = 40  # units a side; the rest is cut off


@torch.inference_mode()
def cross_attention_figure(
    model: EncoderDecoder, tokenizer: PairTokenizer, source: str, target: str
) -> Figure:
    """What each unit of the target, as it was chosen, read from the source: by block and head."""
    device = next(model.parameters()).device
    tokens = [BEGIN, *tokenizer.target.encode(target).tolist()][:_MOST_SHOWN]
    with evaluating(model):
        weights = model.cross_attention_weights(
            torch.tensor([tokenizer.source.encode(source).tolist()], device=device),
            torch.tensor([tokens], device=device),
        )
    rows = [*tokenizer.target.split(target), "end"][:_MOST_SHOWN]
    columns = tokenizer.source.split(source)[:_MOST_SHOWN]
    return attention_figure(weights[:, 0, :, :, : len(columns)], rows, columns)


def attention_figure(
    weights: Float[Tensor, "N H T S"], rows: Sequence[str], columns: Sequence[str]
) -> Figure:
    """A map for each block (from the top) and head; dark where a row reads a column."""
    num_blocks, num_heads, num_rows, num_columns = weights.shape
    width = max(_LEAST_INCHES, _CELL_INCHES * num_columns)
    height = max(_LEAST_INCHES, _CELL_INCHES * num_rows)
    size = (num_heads * width + 0.6, num_blocks * height + 0.6)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(num_blocks, num_heads, squeeze=False)
    for block, axes_row in enumerate(grid):
        for head, axes in enumerate(axes_row):
            image = weights[block, head].float().cpu().numpy()
            axes.imshow(image, cmap="Blues", vmin=0, vmax=1, aspect="auto")
            axes.set_title(f"block {block + 1}, head {head + 1}", fontsize=_LABEL_POINTS)
            axes.set_xticks(range(num_columns), columns, fontsize=_LABEL_POINTS)
            axes.set_yticks(range(num_rows), rows, fontsize=_LABEL_POINTS)
            axes.tick_params(length=0)
    return figure
