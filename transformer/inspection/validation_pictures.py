"""Pictures of a GPT for every validation: what its heads read, and how alike its positions are.

All but the maps, letters and frames, is drawn once a run: so a picture takes a small part of the
time of the validation that it belongs to.
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
from transformer.inspection.attention_figures import as_image
from transformer.models.base import TokenModel, evaluating
from transformer.models.parts.positions import LearnedPositions

MOST_CHARACTERS = 32
LEAST_CHARACTERS = 8  # of a model of so many heads or blocks that fewer would fit
# All lengths are pixels. TensorBoard shows pictures at their own size on a click.
CELL = 14  # so that letters of LETTER pixels stand one to a cell
LETTER = 13
_MOST_SIDE = 1800  # about, of all maps of a row or column together
_SIMILARITY_SIDE = 512
_LETTERS = 20  # the room for those beside a map
_TITLE = 28
_GAP = 10
_DPI = 64  # a power of two, so that pixels / dpi * dpi gives them back
_POINTS = 72 / _DPI  # a pixel in the unit of font sizes
_PLAIN = {"fontsize": LETTER * _POINTS, "parse_math": False}  # a text may hold a $
_VISIBLE = str.maketrans({" ": "␣", "\n": "↵", "\t": "⇥"})


class Box(NamedTuple):
    """Where a square map is in a picture, whose rows count from the top."""

    left: int
    top: int
    side: int


class MapPicture:
    """Square maps and what is around them; `paint` changes the maps alone.

    Colors go from that of `least` to that of 1.
    """

    def __init__(
        self, background: NDArray[np.uint8], boxes: Sequence[Box], cmap: str, least: float
    ) -> None:
        self.background = background
        self.boxes = boxes
        self.colors = colormaps[cmap](np.arange(256), bytes=True)[:, :3]
        self.least = least

    def paint(self, maps: Float[Tensor, "M T S"]) -> NDArray[np.uint8]:
        """Height x width x red, green and blue; a map of more cells than pixels is thinned out."""
        scaled = (maps.float() - self.least) / (1 - self.least)
        shades = (scaled * 255).round().clamp(0, 255).byte().cpu().numpy()
        image = self.background.copy()
        for (left, top, side), shade in zip(self.boxes, shades, strict=True):
            rows, columns = (np.arange(side) * size // side for size in shade.shape)
            image[top : top + side, left : left + side] = self.colors[shade[np.ix_(rows, columns)]]
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
        """By name: attention, and position_similarity where positions are learned."""
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
    """A map for each block (from the top) and head: dark where a row's character reads a column's.

    Maps are painted block by block.
    """
    shown = [piece.translate(_VISIBLE) for piece in pieces]
    letters = [piece if piece.isprintable() else "·" for piece in shown]
    side = len(letters) * CELL
    across, down = side + _LETTERS + _GAP, side + _TITLE + _LETTERS
    boxes = [
        Box(_LETTERS + head * across, _TITLE + block * down, side)
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
        axes.text(_LETTERS + middle, _TITLE + side + 14, letter, ha="center", **_PLAIN)
        axes.text(_LETTERS - 9, _TITLE + middle + 4, letter, ha="center", **_PLAIN)
    image = as_image(figure)
    surrounding = image[_TITLE - 2 : down, :across].copy()
    for box in boxes:  # drawing the letters for each would take as long as a short validation
        corner = (box.top - 2, box.left - _LETTERS)
        rows, columns = (slice(c, c + n) for c, n in zip(corner, surrounding.shape, strict=False))
        image[rows, columns] = surrounding
    return MapPicture(image, boxes, "Blues", 0.0)


def similarity_picture(num_positions: int) -> MapPicture:
    """Red where two positions' vectors point the same way, blue where they oppose each other."""
    side, left = _SIMILARITY_SIDE, 64
    box = Box(left, _TITLE, side)
    scale = Box(left + side + 16, _TITLE, 12)
    figure, axes = _canvas(scale.left + 50, _TITLE + side + 46)
    axes.text(left, _TITLE - 8, "cosine similarity of the positions' vectors", **_PLAIN)
    _frame(axes, box)
    apart = 2 ** max(0, (num_positions - 1).bit_length() - 3)  # 5 to 8 numbers a side
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
    """A figure of so many pixels, and axes over all of it that count them from the top left."""
    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0), autoscale_on=False)
    axes.set_axis_off()
    return figure, axes


def _frame(axes: Axes, box: Box) -> None:
    corners = (box.left, box.left + box.side), (box.top, box.top + box.side)
    (left, right), (top, bottom) = corners
    axes.plot([left, right, right, left, left], [top, top, bottom, bottom, top], "0.7", lw=2)
