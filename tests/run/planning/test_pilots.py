"""What pilots say of a text, and how many steps they make."""

import pytest

from transformer.run.planning import pilot
from transformer.run.planning.law import LAW, PILOT_STEPS, PILOT_TOKENS
from transformer.tasks.registry import task_of


@pytest.mark.parametrize("characters", [2_000, 20_000, 60_000, 200_000])
def test_pilots_read_a_text_a_few_times_and_count_as_those_of_a_long_text(
    draft_of, tmp_path, monkeypatch, characters
):
    """This text is learned as the law says, so that pilots of any length promise the same."""
    made = []

    def trained(config, data, steps):
        seen = steps * config.batch_size * config.block_size
        made.append(seen)
        return 1.0 + LAW.tokens * (seen / 1e6) ** -LAW.tokens_power

    monkeypatch.setattr(pilot, "_trained", trained)
    (tmp_path / "text.txt").write_text("abc " * (characters // 4), encoding="utf-8")
    config = draft_of(num_threads=1, cache_dir=str(tmp_path)).base(lr=0.01, block_size=64)
    data = task_of("gpt").read(config)
    other = config.model_copy(update={"seed": 7})
    losses = [pilot.promised_loss(each, data, 0.01) for each in (config, other)]
    half, whole = made  # once; the second time they are remembered, for another seed, too
    assert 2 * half == whole
    assert whole <= max(pilot.MOST_PASSES * len(data.train), pilot.LEAST_PILOT_STEPS * 12 * 64)
    assert (whole == PILOT_TOKENS) is (characters == 200_000)
    power = -LAW.tokens_power
    of_long = [1.0 + LAW.tokens * (n / 1e6) ** power for n in (PILOT_TOKENS // 2, PILOT_TOKENS)]
    promised = of_long[1] - LAW.pilot_gain * (of_long[0] - of_long[1])
    assert losses == pytest.approx([promised] * 2)


def test_pilots_that_would_take_much_of_the_minutes_make_half_of_the_steps(
    draft_of, tmp_path, monkeypatch
):
    made = []

    def trained(config, data, steps):
        made.append(steps)
        return 2.5 - 1e-3 * steps

    monkeypatch.setattr(pilot, "_trained", trained)
    (tmp_path / "text.txt").write_text("abc " * 100_000, encoding="utf-8")
    keys = {"num_threads": 1, "cache_dir": str(tmp_path)}
    config = draft_of(**keys).base(lr=0.01, block_size=128)
    data = task_of("gpt").read(config)
    for minutes in (1.0, 1.0, 3.0, 30.0, 1.0, None):  # 300 steps of 0.04 s are 12 s
        pilot.promised_loss(config.model_copy(update={"max_minutes": minutes}), data, 0.04)
    assert made == [50, 100, 100, 200]


@pytest.mark.parametrize("block_size", [1, 8, 72, 120, 128])
def test_pilots_make_an_even_number_of_steps_and_not_many(draft_of, block_size):
    data = task_of("gpt").read(draft_of(num_threads=1).base(lr=0.01, block_size=1))
    steps = pilot.steps_of(data, 12 * block_size)
    assert steps % 2 == 0
    assert pilot.LEAST_PILOT_STEPS <= steps <= 2 * PILOT_STEPS
