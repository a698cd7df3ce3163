"""Pictures of a GPT at each validation: its attention, and the similarity of its positions.

Letters and frames are drawn once per run, and only the maps are painted at each validation. So a
picture takes a small part of the time of its validation.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from transformer.data.tokenizers.base import Tokenizer
from transformer.inspection.attention_figures import as_image, shortened
from transformer.models.base import TokenModel, evaluating
from transformer.models.parts.positions import LearnedPositions

MOST_CHARACTERS = 32
LEAST_CHARACTERS = 8  # even if a model has so many heads or blocks that fewer would fit
# All lengths are in pixels. TensorBoard shows a picture at its own size after a click.
CELL = 14  # one letter of LETTER pixels fits into a cell
LETTER = 13
_MOST_SIDE = 1800  # approximate, for all maps of a row or column together
_SIMILARITY_SIDE = 512
_LETTERS = 20  # space for the letters beside a map
_TITLE = 28
_GAP = 10
_DPI = 64  # a power of two, so that pixels / dpi * dpi is exact
_POINTS = 72 / _DPI  # points per pixel; fonts are measured in points
_PLAIN = {"fontsize": LETTER * _POINTS, "parse_math": False}  # a text may have a $ in it
_LETTER_WIDTH = 9  # of a label of several letters


class Box(NamedTuple):
    """The place of a square map in a picture; rows are counted from the top."""

    left: int
    top: int
    side: int


class MapPicture(NamedTuple):
    """Square maps on a fixed background; the color map `cmap` covers the values `least` to 1."""

    background: NDArray[np.uint8]
    boxes: Sequence[Box]
    cmap: str
    least: float

    def paint(self, maps: Float[Tensor, "M T S"]) -> NDArray[np.uint8]:
        """An image (height, width, RGB); a map with more cells than pixels loses some cells."""
        scaled = (maps.float() - self.least) / (1 - self.least)
        shades = (scaled * 255).round().clamp(0, 255).byte().cpu().numpy()
        colors = colormaps[self.cmap](np.arange(256), bytes=True)[:, :3]
        image = self.background.copy()
        for (left, top, side), shade in zip(self.boxes, shades, strict=True):
            rows, columns = (np.arange(side) * size // side for size in shade.shape)
            image[top : top + side, left : left + side] = colors[shade[np.ix_(rows, columns)]]
        return image


class ValidationPictures:
    """Draws a model with attention as it reads the beginning of `tokens`, always the same."""

    def __init__(self, model: TokenModel, tokenizer: Tokenizer, tokens: Int[Tensor, "T"]) -> None:
        shape = [model.architecture[name] for name in ("num_blocks", "num_heads")]
        fitting = max(LEAST_CHARACTERS, _MOST_SIDE // (CELL * max(shape)))
        self.tokens = tokens[: min(MOST_CHARACTERS, fitting, model.block_size)].long()
        pieces = tuple(tokenizer.pieces[int(token)] for token in self.tokens)
        self._attention = attention_picture(pieces, *shape)
        self._similarity = None
        if isinstance(positions_of(model), LearnedPositions):
            self._similarity = similarity_picture(model.block_size)

    @torch.inference_mode()
    def draw(self, model: TokenModel) -> dict[str, NDArray[np.uint8]]:
        """Images by name: `attention`, and `position_similarity` if positions are learned."""
        device = next(model.parameters()).device
        with evaluating(model):
            weights = model.attention_weights(self.tokens[None].to(device))
        images = {"attention": self._attention.paint(weights[:, 0].flatten(0, 1))}
        if self._similarity is not None:
            similarity = positions_of(model).similarity()
            images["position_similarity"] = self._similarity.paint(similarity[None])
        return images


def positions_of(model: TokenModel) -> Any:
    return getattr(model, "position_embedding", None)


def attention_picture(pieces: Sequence[str], num_blocks: int, num_heads: int) -> MapPicture:
    """One map for each block (a row of maps) and head (a column of maps).

    Row: the token that reads; column: the token that it reads; darker means more. `paint`
    takes the maps block by block.
    """
    letters = [shortened(piece) for piece in pieces]
    longest = max(map(len, letters))
    margin = _LETTERS if longest == 1 else _LETTER_WIDTH * longest + 6
    side = len(letters) * CELL
    across, down = side + margin + _GAP, side + _TITLE + margin
    boxes = [
        Box(margin + head * across, _TITLE + block * down, side)
        for block in range(num_blocks)
        for head in range(num_heads)
    ]
    figure, axes = _canvas(num_heads * across, num_blocks * down + _GAP)
    for number, box in enumerate(boxes):
        block, head = divmod(number, num_heads)
        axes.text(box.left, box.top - 8, f"block {block + 1}, head {head + 1}", **_PLAIN)
    _frame(axes, boxes[0])
    for place, letter in enumerate(letters):
        middle = CELL * (place + 0.5)
        if longest == 1:
            axes.text(margin + middle, _TITLE + side + 14, letter, ha="center", **_PLAIN)
            axes.text(margin - 9, _TITLE + middle + 4, letter, ha="center", **_PLAIN)
        else:
            turned = {"rotation": 90, "ha": "center", "va": "top"}
            axes.text(margin + middle, _TITLE + side + 5, letter, **turned, **_PLAIN)
            axes.text(margin - 5, _TITLE + middle + 4, letter, ha="right", **_PLAIN)
    image = as_image(figure)
    surrounding = image[_TITLE - 2 : down, :across].copy()
    for box in boxes:  # copied, because drawing them would take as long as a short validation
        corner = (box.top - 2, box.left - margin)
        rows, columns = (slice(c, c + n) for c, n in zip(corner, surrounding.shape, strict=False))
        image[rows, columns] = surrounding
    return MapPicture(image, boxes, "Blues", 0.0)


def similarity_picture(num_positions: int) -> MapPicture:
    """A map of positions: red for vectors in the same direction, blue for opposite ones."""
    side, left = _SIMILARITY_SIDE, 64
    box = Box(left, _TITLE, side)
    scale = Box(left + side + 16, _TITLE, 12)
    figure, axes = _canvas(scale.left + 50, _TITLE + side + 46)
    axes.text(left, _TITLE - 8, "cosine similarity of the positions' vectors", **_PLAIN)
    _frame(axes, box)
    apart = 2 ** max(0, (num_positions - 1).bit_length() - 3)  # 5 to 8 numbers per side
    for position in range(0, num_positions, apart):
        middle = (position + 0.5) * side / num_positions
        axes.text(left + middle, box.top + side + 16, str(position), ha="center", **_PLAIN)
        axes.text(left - 6, box.top + middle + 4, str(position), ha="right", **_PLAIN)
    axes.text(left + side / 2, box.top + side + 36, "position", ha="center", **_PLAIN)
    axes.text(16, box.top + side / 2, "position", rotation=90, va="center", ha="center", **_PLAIN)
    right, bottom = scale.left + scale.side, scale.top + side
    colors = np.linspace(1, -1, side)[:, None]
    axes.imshow(colors, "RdBu_r", extent=(scale.left, right, bottom, scale.top), aspect="auto")
    for share, value in ((0, "1"), (0.5, "0"), (1, "\N{MINUS SIGN}1")):
        axes.text(right + 4, scale.top + share * side + 4, value, **_PLAIN)
    return MapPicture(as_image(figure), [box], "RdBu_r", -1.0)


def _canvas(width: int, height: int) -> tuple[Figure, Axes]:
    """A figure of this size, with axes over all of it in pixels from the top left."""
    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0), autoscale_on=False)
    axes.set_axis_off()
    return figure, axes


def _frame(axes: Axes, box: Box) -> None:
    left, right, top, bottom = box.left, box.left + box.side, box.top, box.top + box.side
    axes.plot([left, right, right, left, left], [top, top, bottom, bottom, top], "0.7", lw=2)
