"""Numbers about a run that are known before its first step."""

import pytest

from transformer.models.bigram import Bigram
from transformer.training.estimates import parameters_by_part


@pytest.mark.parametrize("options", [{}, {"tie_weights": False}, {"positions": "rotary"}], ids=str)
def test_the_parts_sum_to_all_parameters(make_gpt, options):
    model = make_gpt(**options)
    assert sum(parameters_by_part(model).values()) == sum(p.numel() for p in model.parameters())


def test_each_part_is_listed_with_its_numbers(make_gpt):
    """V=13, T=7, C=30, F=120, two blocks; the tied matrix stands under its first name."""
    assert parameters_by_part(make_gpt()) == {
        "token_embedding": 13 * 30,
        "position_embedding": 7 * 30,
        "blocks: attention_norm": 2 * 60,
        "blocks: attention": 2 * (4 * 30 * 30 + 4 * 30),
        "blocks: feedforward_norm": 2 * 60,
        "blocks: feedforward": 2 * (2 * 30 * 120 + 120 + 30),
        "final_norm": 60,
    }
    assert parameters_by_part(Bigram(vocab_size=13, block_size=7)) == {"next_token": 169}
