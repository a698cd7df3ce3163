"""The sizes that a plan considers."""

from typing import NamedTuple

WIDTHS = (64, 96, 128, 160, 192, 256, 320, 384, 512)
HEAD_DIM = 32


class Size(NamedTuple):
    width: int
    num_heads: int
    num_blocks: int

    @property
    def keys(self) -> dict[str, int]:
        """As a config has them."""
        names = ("embedding_dim", "num_heads", "num_blocks")
        return dict(zip(names, self, strict=True))


def usual_heads(width: int, num_kv_heads: int = 1) -> int:
    """The multiple of num_kv_heads whose heads have an even width nearest to HEAD_DIM; else 1."""
    multiples = range(num_kv_heads, width + 1, num_kv_heads)
    numbers = [n for n in multiples if width % n == 0 and width // n % 2 == 0]
    return min(numbers, key=lambda n: abs(width // n - HEAD_DIM), default=1)
