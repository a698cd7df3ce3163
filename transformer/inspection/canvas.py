"""Letters and frames on a picture, and the colors of numbers.

A run draws its pictures with Pillow: importing matplotlib takes as long as a short run trains.
"""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

LETTER = 13  # pixels
_BLACK, _GRAY, _WHITE = (0, 0, 0), (178, 178, 178), (255, 255, 255)

# Of ColorBrewer 2.0 (Brewer 2003), in equal steps from the lowest number to the highest.
_COLORS = {
    "Blues": "f7fbff deebf7 c6dbef 9ecae1 6baed6 4292c6 2171b5 08519c 08306b",
    "RdBu_r": "053061 2166ac 4393c3 92c5de d1e5f0 f7f7f7 fddbc7 f4a582 d6604d b2182b 67001f",
}


@cache
def color_table(name: str) -> NDArray[np.uint8]:
    """256 colors (256, RGB), those of matplotlib's color map of this name."""
    steps = np.array([list(bytes.fromhex(color)) for color in _COLORS[name].split()])
    places = np.linspace(0, len(steps) - 1, 256)
    channels = [np.interp(places, np.arange(len(steps)), channel) for channel in steps.T]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


class Canvas:
    """A white picture; places are in pixels from its top left.

    A character that the font lacks becomes a hollow box.
    """

    def __init__(self, width: int, height: int) -> None:
        self._picture = Image.new("RGB", (width, height), _WHITE)
        self._pen = ImageDraw.Draw(self._picture)
        self._font = _font()

    def write(self, x: int | float, y: int | float, text: str, align: str = "left") -> None:
        """`y` is the line on which the letters stand; `x` is their `left`, `middle` or `right`."""
        self._pen.text((x, y), text, _BLACK, self._font, anchor=f"{align[0]}s")

    def write_upwards(self, middle: int | float, top: int | float, text: str) -> None:
        """From the bottom to the top, around the column `middle`."""
        left, above, right, below = self._font.getbbox(text)
        ink = Image.new("L", (round(right - left), round(below - above)))
        ImageDraw.Draw(ink).text((-left, -above), text, 255, self._font)
        turned = ink.transpose(Image.Transpose.ROTATE_90)
        place = round(middle - turned.width / 2), round(top)
        self._picture.paste(_BLACK, place, turned)

    def frame(self, left: int, top: int, width: int, height: int) -> None:
        """A gray line around these pixels."""
        self._pen.rectangle((left - 1, top - 1, left + width, top + height), outline=_GRAY)

    def pixels(self) -> NDArray[np.uint8]:
        """Height x width x RGB."""
        return np.array(self._picture)


@cache
def _font() -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which has many alphabets; it is a file of matplotlib."""
    spec = find_spec("matplotlib")
    assert spec is not None
    assert spec.origin is not None
    font = Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
    # Of Pillow's layouts, the one that every installation has.
    return ImageFont.truetype(font, LETTER, layout_engine=ImageFont.Layout.BASIC)
