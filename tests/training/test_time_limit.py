"""A limit of time: its share, and that of the schedule, which begins with the first step."""

import pytest

from transformer.training.callbacks.agreement import Agreement
from transformer.training.callbacks.stopping import TimeLimit
from transformer.training.callbacks.throughput import Throughput


def shares(elapsed, began, minutes=2.0):
    agreement, throughput = Agreement({}), Throughput(1, 1.0)
    throughput.load_state_dict(
        {"examples": 0, "training_seconds": 0.0, "elapsed_seconds": elapsed, "began_seconds": began}
    )
    limit = TimeLimit(minutes, throughput, agreement, lambda: 0.0, lambda share: None)
    agreement.agree()
    return limit.share, limit.share_of_steps


@pytest.mark.parametrize("began", [0.0, 5.0, 60.0, 110.0])
def test_what_comes_before_the_first_step_takes_nothing_from_a_schedule(began):
    last = 120.0 - TimeLimit.SAVING_SECONDS
    assert shares(began, began)[1] == pytest.approx(0, abs=0.01)
    share, spent = shares((began + last) / 2, began)
    assert spent == pytest.approx(0.5, abs=0.05)
    assert share == pytest.approx((began + last) / 2 / last, abs=0.01)
    assert shares(last, began) == shares(200.0, began) == (1.0, 1.0)


@pytest.mark.parametrize("began", [119.0, 120.0, 500.0])
def test_a_run_whose_time_was_spent_before_it_began_ends_at_once(began):
    assert shares(began, began) == (1.0, 1.0)
