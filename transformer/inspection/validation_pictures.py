"""Pictures of a GPT at each validation: its attention, and the similarity of its positions.

Letters and frames are drawn once per run, and only the maps are painted at each validation. So a
picture takes a small part of the time of its validation.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from transformer.data.tokenizers.base import Tokenizer
from transformer.inspection.canvas import LETTER, Canvas, color_table
from transformer.inspection.labels import shortened
from transformer.models.base import TokenModel, evaluating
from transformer.models.parts.positions import LearnedPositions

MOST_CHARACTERS = 32
LEAST_CHARACTERS = 8  # even if a model has so many heads or blocks that fewer would fit
# All lengths are in pixels. TensorBoard shows a picture at its own size after a click.
CELL = LETTER + 1
_MOST_SIDE = 1800  # approximate, for all maps of a row or column together
_SIMILARITY_SIDE = 512
_LETTERS = 20  # space for the letters beside a map
_TITLE = 28
_GAP = 10
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
        colors = color_table(self.cmap)
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
    canvas = Canvas(num_heads * across, num_blocks * down + _GAP)
    for number, box in enumerate(boxes):
        block, head = divmod(number, num_heads)
        canvas.write(box.left, box.top - 8, f"block {block + 1}, head {head + 1}")
        canvas.frame(box.left, box.top, side, side)
        for place, letter in enumerate(letters):
            middle = CELL * (place + 0.5)
            if longest == 1:
                canvas.write(box.left + middle, box.top + side + 14, letter, "middle")
                canvas.write(box.left - 9, box.top + middle + 4, letter, "middle")
            else:
                canvas.write_upwards(box.left + middle, box.top + side + 5, letter)
                canvas.write(box.left - 5, box.top + middle + 4, letter, "right")
    return MapPicture(canvas.pixels(), boxes, "Blues", 0.0)


def similarity_picture(num_positions: int) -> MapPicture:
    """A map of positions: red for vectors in the same direction, blue for opposite ones."""
    side, left = _SIMILARITY_SIDE, 64
    box = Box(left, _TITLE, side)
    scale = Box(left + side + 16, _TITLE, 12)
    right, bottom = scale.left + scale.side, scale.top + side
    canvas = Canvas(right + 38, bottom + 46)
    canvas.write(left, _TITLE - 8, "cosine similarity of the positions' vectors")
    canvas.frame(left, _TITLE, side, side)
    apart = 2 ** max(0, (num_positions - 1).bit_length() - 3)  # 5 to 8 numbers per side
    for position in range(0, num_positions, apart):
        middle = (position + 0.5) * side / num_positions
        canvas.write(left + middle, bottom + 16, str(position), "middle")
        canvas.write(left - 6, box.top + middle + 4, str(position), "right")
    canvas.write(left + side / 2, bottom + 36, "position", "middle")
    canvas.write_upwards(16, box.top + side / 2 - 28, "position")
    for share, value in ((0, "1"), (0.5, "0"), (1, "\N{MINUS SIGN}1")):
        canvas.write(right + 4, scale.top + share * side + 4, value)
    image = canvas.pixels()
    shades = np.linspace(255, 0, side).round().astype(np.uint8)
    image[scale.top : bottom, scale.left : right] = color_table("RdBu_r")[shades][:, None]
    return MapPicture(image, [box], "RdBu_r", -1.0)
