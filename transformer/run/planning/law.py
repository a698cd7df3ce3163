"""The loss that a run will reach, from its size, its text and its steps, before it starts.

The form is that of Hoffmann et al. 2022 (arXiv:2203.15556, eq. 2), with more terms. How
predictable the text is enters as the loss F of a pilot, a tiny model that is trained in seconds,
and how fast it is learned as the loss F' of a pilot of half the steps; T is what they promise. A
model that reads its text again and again learns it by heart: a term that grows with passes and
size, and with what there is to learn. Dropout p lowers it and has a cost, which is higher for a
smaller model. R-Drop, of weight r, lowers both.

    L = T + E + A n^-ALPHA + H / b + B D^-BETA + K q exp(-S r)
        + G T (D / U)^GAMMA (n / U)^DELTA exp(-M q - N r)
    T = F - P (F' - F),  q = p n^-ETA

with D the tokens read and U the tokens of the training split, in millions, b the number of blocks,
and n their parameters in millions. The constants and ERROR are from `benchmarks/fit_law.py`, of the
runs in planner_runs.json, default_shape.json and half_hour.json below `benchmarks/results`.
"""

from collections.abc import Mapping
from math import exp
from typing import Any, NamedTuple

# The runs had these values, and all others from the recipe of configs/auto.yaml.
PLAIN: Mapping[str, Any] = {"block_size": 128, "batch_size": 12, "lr": 0.01, "weight_decay": 0.1}
PILOT_STEPS = 200
PILOT_TOKENS = PILOT_STEPS * PLAIN["batch_size"] * PLAIN["block_size"]


# Tokens to train on, of the shortest text that the law was fitted to, and hardly more than of the
# longest, the whole of Tiny Shakespeare.
FITTED_FROM, FITTED_TO = 90_000, 1_100_000
USUAL_PROMISED = 1.4  # T of the texts that the law was fitted to, about
LEAST_PROMISED = 1.2  # hardly below the lowest of them


class Law(NamedTuple):
    floor: float  # E
    size: float  # A
    size_power: float  # ALPHA
    depth: float  # H
    tokens: float  # B
    tokens_power: float  # BETA
    dropout: float  # K
    dropout_size_power: float  # ETA
    heart: float  # G
    heart_power: float  # GAMMA
    heart_size_power: float  # DELTA
    heart_dropout: float  # M
    dropout_r_drop: float  # S
    heart_r_drop: float  # N
    pilot_gain: float  # P

    def loss(
        self,
        promised: float,
        *,
        width: int,
        num_blocks: int,
        seen: float,
        unique: float,
        dropout: float,
        r_drop: float = 0.0,
    ) -> float:
        """In nats per token, after `seen` tokens, of a text with `unique` tokens to train on.

        `promised` is what `pilots` says. Below LEAST_PROMISED, where the sum would soon be
        negative, this is the loss of the most predictable text that the law knows: a bound.
        """
        promised = max(promised, LEAST_PROMISED)
        size = block_parameters(width, num_blocks) / 1e6
        dropped = dropout * size**-self.dropout_size_power
        heart = self.heart * promised * (seen / unique) ** self.heart_power
        heart *= (1e6 * size / unique) ** self.heart_size_power
        return (
            promised
            + self.floor
            + self.size * size**-self.size_power
            + self.depth / num_blocks
            + self.tokens * (seen / 1e6) ** -self.tokens_power
            + self.dropout * dropped * exp(-self.dropout_r_drop * r_drop)
            + heart * exp(-self.heart_dropout * dropped - self.heart_r_drop * r_drop)
        )

    def pilots(self, half: float, whole: float, seen: float) -> float:
        """T, from the losses of pilots that read `seen` / 2 and `seen` tokens.

        Losses of shorter pilots are lowered by what the law says more unread tokens bring, which is
        less sure: from 50 and 100 steps, by 0.07 nats (root mean square, seven texts).
        """
        usual = float(PILOT_TOKENS)
        left = self._fallen(seen, usual)
        gain = (half - whole) * self._fallen(usual / 2, usual)
        return whole - left - self.pilot_gain * gain / self._fallen(seen / 2, seen)

    def _fallen(self, seen: float, later: float) -> float:
        before, after = ((tokens / 1e6) ** -self.tokens_power for tokens in (seen, later))
        return self.tokens * (before - after)


def block_parameters(width: int, num_blocks: int) -> int:
    """About: 4 C^2 of attention and 8 C^2 of the feed-forward layer, in each block."""
    return 12 * width**2 * num_blocks


LAW = Law(
    floor=-0.827,
    size=0.0232,
    size_power=0.789,
    depth=0.0925,
    tokens=0.608,
    tokens_power=0.221,
    dropout=0.922,
    dropout_size_power=0.359,
    heart=0.0103,
    heart_power=1.2,
    heart_size_power=0.277,
    heart_dropout=12.4,
    dropout_r_drop=0.13,
    heart_r_drop=0.381,
    pilot_gain=0.849,
)
ERROR = 0.045  # root mean square, on runs of texts that the fit did not know
