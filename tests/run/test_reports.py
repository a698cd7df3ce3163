"""The notes and advice that a run prints."""

import pytest

from transformer.run.reports import many_passes_note, out_of_memory_advice
from transformer.system.errors import in_flags


def test_many_passes_over_a_small_text_are_said_with_what_helps():
    note = many_passes_note(2400, 117.0, 0.0)
    assert note.startswith("20.5 passes over a small text")
    assert note.endswith("Try --max_steps 468 (4 passes) or --dropout 0.2")
    assert many_passes_note(2400, 117.0, 0.1) is None
    assert many_passes_note(2400, 654.0, 0.0) is None  # default.yaml on Shakespeare


@pytest.mark.parametrize(
    ("batch_size", "batches", "smaller", "more"), [(256, 1, 128, 2), (7, 3, 1, 21), (9, 2, 3, 6)]
)
def test_a_smaller_batch_makes_as_large_a_step(batch_size, batches, smaller, more):
    advice = in_flags(out_of_memory_advice(batch_size, batches))
    assert f"--batch_size {smaller} --accumulate_grad_batches {more}," in advice
    assert smaller * more == batch_size * batches


def test_of_a_batch_of_one_nothing_is_left_to_take():
    assert "smaller --block_size" in in_flags(out_of_memory_advice(1, 4))
