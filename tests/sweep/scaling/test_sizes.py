"""The sizes of a scaling law."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from transformer.config.files import load_config
from transformer.config.keys import Config
from transformer.models import build_model
from transformer.sweep.scaling.sizes import (
    BEYOND,
    NUM_SIZES,
    RATIO,
    TOKENS_PER_WEIGHT,
    num_weights,
    series,
    sized,
    tokens_per_step,
)

CONFIGS = Path(__file__).parents[3] / "configs"
SHAPED = [
    ("default", {}),
    ("default", {"num_heads": 10, "num_kv_heads": 5}),
    ("shakespeare-gpu", {}),
    ("gpt2-recipe-cpu", {}),
]


def config_of(name: str, keys: dict[str, Any]) -> Config:
    return load_config(CONFIGS / f"{name}.yaml", keys)


@pytest.mark.parametrize(("name", "keys"), SHAPED)
def test_weights_are_the_matrices_of_the_blocks(name: str, keys: dict[str, Any]) -> None:
    config = config_of(name, keys)
    with torch.device("meta"):
        model: Any = build_model(**config.architecture(vocab_size=11))
    counted = sum(p.numel() for p in model.blocks.parameters() if p.dim() == 2)
    assert num_weights(config) == counted


@pytest.mark.parametrize(("name", "keys"), SHAPED)
def test_a_config_of_any_size_is_valid_and_near_the_size(name: str, keys: dict[str, Any]) -> None:
    config = config_of(name, keys)
    for weights in (6e3, 5e4, 7e5):
        size = sized(config, weights, vocab_size=65)
        assert load_config(CONFIGS / f"{name}.yaml", keys | dict(size.keys))
        assert size.weights == pytest.approx(weights, rel=0.3)
        assert size.tokens == size.max_steps * tokens_per_step(config)
        assert 0 <= size.tokens - TOKENS_PER_WEIGHT * size.weights < tokens_per_step(config)


def test_a_series_ends_with_a_size_four_times_the_largest() -> None:
    sizes = series(config_of("default", {}), 2e5, vocab_size=65)
    weights = [size.weights for size in sizes]
    assert len(sizes) == NUM_SIZES + 1
    assert weights[-2] == pytest.approx(200_000, rel=0.1)
    assert weights[-1] / weights[-2] == pytest.approx(BEYOND, rel=0.1)
    steps = pairwise(weights[:-1])
    assert all(later / sooner == pytest.approx(RATIO, rel=0.25) for sooner, later in steps)


def test_the_size_of_the_config_has_its_shape() -> None:
    config = config_of("default", {})
    size = sized(config, float(num_weights(config)), vocab_size=65)
    assert {key: getattr(config, key) for key in size.keys} == dict(size.keys)
