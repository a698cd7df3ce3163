"""Texts that tokenizers trip over. Imports no torch."""

import random
from collections.abc import Sequence

from transformer.data.tokenizers.base import Tokenizer
from transformer.data.tokenizers.pairs import Side

# Combined and joined characters, scripts without spaces, all kinds of white space and line ends,
# words and numbers in odd places, names of special tokens, the last code points.
_PIECES = (
    *("e\u0301", "\u0e33\u0e49", "\u0915\u094d\u0937\u093f", "\u05e9\u05b8\u05c1", "\u0627\u0644"),
    *("\U0001f469\u200d\U0001f467", "\U0001f44d\U0001f3fd", "\ud55c", "\u1112\u1161\u11ab"),
    *("\u6f22\u5b57", "\u3002\u300d", "\ufeff", "\u200b", "\u212b", "\ufb01", "\xdf", "\u0130"),
    *("\r", "\r\n", "\n\n", "\n \n", "\t", "\x00", "\x1c", "\x7f", "\x85", "\xa0", "\u2028"),
    *(
        " ",
        "  ",
        "   ",
        " the",
        "The ",
        "'s",
        "'RE",
        "\u017f",
        "1",
        "12",
        " 1234",
        "\xbd",
        "\u0661",
    ),
    *("<|endoftext|>", "<|end", "<s>", "</s>", "[UNK]", "##a", "\u2581", "\u0120", "\u010a"),
    *("}\n\t", "if (x):", "!!", "...\n", "_", "__a", "\\n", '"', "\u201c", "a.b,c", "--"),
    *("\U0010ffff", "\U0001d400", "\ue000", "\u0378", "\uffff", "\U000e0001"),
)
_LAST = 0x10FFFF
_SURROGATES = range(0xD800, 0xE000)


def hostile_texts(tokenizer: Tokenizer | Side, number: int) -> list[str]:
    """So many texts, always the same: odd pieces, the tokenizer's own, and any code points."""
    draw = random.Random(0)
    texts = ["", " ", "\n", *_PIECES]
    while len(texts) < number:
        make = draw.choice((_of_pieces, _of_own_pieces, _of_both, _of_code_points))
        texts.append(make(draw, tokenizer.pieces))
    return texts[:number]


def _of_pieces(draw: random.Random, _: Sequence[str]) -> str:
    return "".join(draw.choices(_PIECES, k=draw.randrange(1, 12)))


def _of_own_pieces(draw: random.Random, own: Sequence[str]) -> str:
    return "".join(draw.choices(own, k=draw.randrange(1, 40)))


def _of_both(draw: random.Random, own: Sequence[str]) -> str:
    return "".join(draw.choices((*_PIECES, *draw.choices(own, k=60)), k=draw.randrange(1, 20)))


def _of_code_points(draw: random.Random, _: Sequence[str]) -> str:
    largest = draw.choice((0x7F, 0x7FF, 0xFFFF, _LAST))
    points = (draw.randint(0, largest) for _ in range(draw.randrange(1, 20)))
    return "".join(chr(point) for point in points if point not in _SURROGATES)
