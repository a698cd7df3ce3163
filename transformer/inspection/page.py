"""Makes one HTML file from an explanation; the file needs no network."""

import base64
import zlib
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from numpy.typing import NDArray

from transformer.inspection.explanation import Explanation
from transformer.pages.template import as_json, filled


def as_page(explanation: Explanation, *, model: str, num_written: int = 0, cut: str = "") -> str:
    """Fills `templates/explain.html`; `model` is the model's name.

    The model wrote the last `num_written` units of the text. `cut` tells what is not shown.
    """
    facts = {"model": model, "num_written": num_written, "cut": cut} | as_data(explanation)
    return filled("explain.html", {"data": as_json(facts)})


def as_data(explanation: Explanation) -> dict[str, Any]:
    num_blocks, num_heads = explanation.attention.shape[:2]
    return {
        "units": explanation.rows,
        "source": explanation.source,
        "surprises": [unit.surprise and round(unit.surprise, 4) for unit in explanation.units],
        "mean_surprise": explanation.mean_surprise,
        "word": explanation.word,
        "num_bytes": explanation.num_bytes,
        "mean_per_byte": explanation.mean_per_byte,
        "alternatives": [
            [(name, round(probability, 6)) for name, probability in unit.alternatives]
            for unit in explanation.units
        ],
        "num_blocks": num_blocks,
        "num_heads": num_heads,
        "entropy": explanation.entropy.round(4).tolist(),
        "attention": packed(explanation.attention, causal=explanation.source is None),
    }


def quantized(weights: Float[NDArray, "*A"]) -> UInt8[NDArray, "*A"]:
    """255 sqrt(w), rounded; w is then known up to sqrt(w) / 255 + 1 / 510^2.

    Small weights are more exact than in 255 w. A head that reads evenly has many of them.
    """
    return np.rint(255 * np.sqrt(weights)).astype(np.uint8)


def packed(weights: Float[NDArray, "N H T S"], *, causal: bool) -> str:
    """`quantized` weights as zlib-compressed base64; of causal ones, only those with s <= t."""
    levels = quantized(weights)
    if causal:
        levels = levels[..., *np.tril_indices(levels.shape[-1])]
    return base64.b64encode(zlib.compress(levels.tobytes(), 9)).decode("ascii")
