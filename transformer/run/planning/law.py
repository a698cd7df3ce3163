"""The loss that a run will reach, from its size, its text and its steps, before it starts.

The form is that of Hoffmann et al. 2022 (arXiv:2203.15556, eq. 2), with three terms more. How
predictable the text is enters as the loss F of a pilot: a tiny model, trained in seconds. A model
that reads its text again and again learns it by heart: a term that grows with passes and size.
Dropout p lowers it, and costs something of its own. R-Drop, of weight r, lowers both.

    L = F + E + A n^-ALPHA + B D^-BETA + K p exp(-S r)
        + G (D / U)^GAMMA (n / U)^DELTA exp(-M p - N r)

with D the tokens read and U the tokens of the training split, in millions, and n the parameters of
the blocks in millions. The constants are fitted by `benchmarks/fit_law.py` to the runs in
planner_runs.json, default_shape.json and half_hour.json, in `benchmarks/results/amd-epyc-avx2`; it
also gives ERROR.
"""

from collections.abc import Mapping
from math import exp
from typing import Any, NamedTuple

# The runs had these values, and all others from the recipe of configs/auto.yaml.
PLAIN: Mapping[str, Any] = {"block_size": 128, "batch_size": 12, "lr": 0.01, "weight_decay": 0.1}


class Law(NamedTuple):
    floor: float  # E
    size: float  # A
    size_power: float  # ALPHA
    tokens: float  # B
    tokens_power: float  # BETA
    dropout: float  # K
    heart: float  # G
    heart_power: float  # GAMMA
    heart_size_power: float  # DELTA
    heart_dropout: float  # M
    dropout_r_drop: float  # S
    heart_r_drop: float  # N

    def loss(
        self,
        pilot_loss: float,
        *,
        width: int,
        num_blocks: int,
        seen: float,
        unique: float,
        dropout: float,
        r_drop: float = 0.0,
    ) -> float:
        """In nats per token, after `seen` tokens, of a text with `unique` tokens to train on."""
        size = block_parameters(width, num_blocks) / 1e6
        heart = self.heart * (seen / unique) ** self.heart_power
        heart *= (1e6 * size / unique) ** self.heart_size_power
        heart *= exp(-self.heart_dropout * dropout - self.heart_r_drop * r_drop)
        return (
            pilot_loss
            + self.floor
            + self.size * size**-self.size_power
            + self.tokens * (seen / 1e6) ** -self.tokens_power
            + self.dropout * dropout * exp(-self.dropout_r_drop * r_drop)
            + heart
        )


def block_parameters(width: int, num_blocks: int) -> int:
    """About: 4 C^2 of attention and 8 C^2 of the feed-forward layer, in each block."""
    return 12 * width**2 * num_blocks


LAW = Law(-1.06, 0.034, 0.7, 0.473, 0.289, 1.04, 0.0153, 1.24, 0.226, 13.3, 0.0843, 0.762)
ERROR = 0.117  # root mean square, on runs of texts that the fit did not know
