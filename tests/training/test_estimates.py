"""What a run will need, worked out before its first step."""

import pytest

from transformer.models.bigram import Bigram
from transformer.training.estimates import (
    automatic_val_every_steps,
    parameters_by_part,
)


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


@pytest.mark.parametrize("total_steps", [1, 50, 2000, 10**6])
@pytest.mark.parametrize("tokens_per_step", [7, 768, 10**5])
@pytest.mark.parametrize("tokens_per_validation", [1, 11_000, 10**6])
def test_validation_stays_under_a_tenth_of_the_compute(
    total_steps, tokens_per_step, tokens_per_validation
):
    """A training token costs three forward passes, a validated one costs one.

    The validation after the last step counts; where it alone is too dear, it is the only one.
    """
    every = automatic_val_every_steps(total_steps, tokens_per_step, tokens_per_validation)
    num_validations = -(-total_steps // every)
    validating = num_validations * tokens_per_validation
    training = total_steps * tokens_per_step * 3
    assert num_validations <= 50
    assert num_validations == 1 or validating <= 0.1 * (validating + training)


@pytest.mark.parametrize(
    ("total_steps", "tokens_per_validation", "expected"),
    [
        # 1000 tokens a step. 15 steps cost 45 000, nine times 5000: 6 validations, 17 steps apart
        (100, 5000, 17),
        (2000, 10, 40),  # 50 validations, where all would be affordable
        (14, 5000, 14),  # not one is, and one is made
        (1, 10, 1),
    ],
)
def test_validation_is_as_frequent_as_that_allows(total_steps, tokens_per_validation, expected):
    assert automatic_val_every_steps(total_steps, 1000, tokens_per_validation) == expected
