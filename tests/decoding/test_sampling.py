"""From logits to the next token, beside a naive float64 implementation."""

import math
from collections import Counter

import pytest
import torch

from transformer.decoding.sampling import Sampler

V = 13

# The chance that a right sampler fails a statistical test, were the seed not fixed.
FALSE_ALARM_RATE = 1e-6


def naive_probabilities(
    logits, temperature=1.0, top_k=None, top_p=None, min_p=None, repetition_penalty=1.0, seen=()
):
    """The distribution to draw from, in plain Python: {token: probability}."""
    logits = list(logits)
    for i in set(seen):
        logits[i] *= 1 / repetition_penalty if logits[i] > 0 else repetition_penalty
    weights = [math.exp((logit - max(logits)) / temperature) for logit in logits]
    ranked = sorted(range(len(logits)), key=lambda i: (-weights[i], i))[:top_k]
    if top_p is not None:
        total, held, kept = sum(weights[i] for i in ranked), 0.0, []
        for i in ranked:
            kept.append(i)
            held += weights[i] / total
            if held >= top_p:
                break
        ranked = kept
    if min_p is not None:
        ranked = [i for i in ranked if weights[i] >= min_p * max(weights)]
    total = sum(weights[i] for i in ranked)
    return {i: weights[i] / total for i in ranked}


def chi_square(tokens, probabilities):
    """The statistic and its degrees of freedom; cells expected below 5 times are put together."""
    counts = Counter(tokens)
    assert counts.keys() <= probabilities.keys(), "drew a token that should have been left out"
    cells = [[counts[i], p * len(tokens)] for i, p in probabilities.items()]
    cells.sort(key=lambda cell: -cell[1])
    while len(cells) > 1 and cells[-1][1] < 5:
        seen, expected = cells.pop()
        cells[-1] = [cells[-1][0] + seen, cells[-1][1] + expected]
    return sum((seen - mean) ** 2 / mean for seen, mean in cells), len(cells) - 1


def p_value(statistic, freedom):
    halves = torch.tensor([freedom / 2, statistic / 2], dtype=torch.float64)
    return torch.special.gammaincc(*halves).item()


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"temperature": 0.5},
        {"temperature": 2.0},
        {"top_k": 3},
        {"top_p": 0.7},
        {"top_p": 1.0},
        {"top_k": 5, "top_p": 0.9},
        {"temperature": 1.7, "top_k": 7, "top_p": 0.6},
        {"min_p": 0.1},
        {"temperature": 1.5, "top_k": 6, "top_p": 0.95, "min_p": 0.2},
    ],
    ids=str,
)
def test_draws_follow_the_naive_distribution(settings, generator):
    """20 random logits, 500 draws of each; one chi-square test over all of them."""
    statistic, freedom = 0.0, 0
    for number in range(20):
        logits = torch.randn(V, generator=generator) * 2
        sampler = Sampler(**settings, seed=number)
        tokens = [sampler(logits.expand(50, V)).tolist() for _ in range(10)]
        drawn = [token for row in tokens for token in row]
        part, cells = chi_square(drawn, naive_probabilities(logits.tolist(), **settings))
        statistic, freedom = statistic + part, freedom + cells
    assert freedom >= 20
    assert p_value(statistic, freedom) > FALSE_ALARM_RATE


@pytest.mark.parametrize("penalty", [1.8, 0.6])
def test_what_a_text_holds_is_drawn_by_the_penalty_less_or_more_often(penalty, generator):
    """The prompts hold some tokens; only first draws count, as each draw adds to what is held."""
    statistic, freedom = 0.0, 0
    for number in range(20):
        logits = torch.randn(V, generator=generator) * 2
        prompts = [torch.randint(V, (5,), generator=generator)] * 400
        sampler = Sampler(repetition_penalty=penalty, seed=number)
        sampler.start(prompts)
        expected = naive_probabilities(
            logits.tolist(), repetition_penalty=penalty, seen=prompts[0].tolist()
        )
        part, cells = chi_square(sampler(logits.expand(400, V)).tolist(), expected)
        statistic, freedom = statistic + part, freedom + cells
    assert p_value(statistic, freedom) > FALSE_ALARM_RATE


def test_what_was_drawn_counts_as_held_in_its_own_row():
    """Greedy among close logits, a strong penalty: each row walks through the tokens in order."""
    logits = torch.tensor([[2.0, 1.9, 1.8, 1.7], [1.7, 1.8, 1.9, 2.0]])
    sampler = Sampler(temperature=0.0, repetition_penalty=10.0)
    sampler.start([torch.tensor([3]), torch.tensor([3])])
    drawn = torch.stack([sampler(logits) for _ in range(3)])
    assert drawn.T.tolist() == [[0, 1, 2], [2, 1, 0]]


def test_a_sampler_that_starts_anew_draws_and_penalizes_as_at_first(generator):
    logits = torch.randn(2, V, generator=generator)
    sampler = Sampler(repetition_penalty=3.0, seed=4)
    first, again = [], []
    for drawn in (first, again):
        sampler.start([torch.tensor([1]), torch.tensor([2, 5])])
        drawn += [sampler(logits).tolist() for _ in range(9)]
    assert first == again


@pytest.mark.parametrize(("min_p", "kept"), [(0.0, 4), (0.25, 4), (0.26, 2), (0.5, 2), (1.0, 1)])
def test_min_p_keeps_what_is_at_least_that_share_as_likely_as_the_likeliest(min_p, kept):
    """Probabilities 1/2, 1/4, 1/8, 1/8: exact in binary, so that a boundary is one."""
    logits = torch.tensor([0.5, 0.25, 0.125, 0.125], dtype=torch.float64).log()[None]
    assert supports({"min_p": min_p}, logits) == [set(range(kept))]


def test_the_first_draws_of_many_rows_are_independent_of_each_other():
    """The seeds of rows side by side are mixed: all pairs of draws equally often."""
    rows = Sampler(seed=7)(torch.zeros(2000, 4)).tolist()
    pairs = [4 * a + b for a, b in zip(rows[::2], rows[1::2], strict=True)]
    statistic, freedom = chi_square(pairs, dict.fromkeys(range(16), 1 / 16))
    assert p_value(statistic, freedom) > FALSE_ALARM_RATE


def supports(settings, logits, draws=300):
    """Every token that comes in many draws, one set a row."""
    sampler = Sampler(**settings)
    columns = zip(*(sampler(logits).tolist() for _ in range(draws)), strict=True)
    return [set(column) for column in columns]


@pytest.mark.parametrize(
    ("top_k", "kept"),
    [
        (1, {1}),
        (2, {1, 4}),
        (3, {0, 1, 4}),
        (4, {0, 1, 2, 4}),
        (99, set(range(6))),
        (2**70, set(range(6))),
    ],
)
def test_top_k_keeps_exactly_k_the_lowest_ids_among_equals(top_k, kept):
    logits = torch.tensor([[2.0, 3.0, 2.0, 2.0, 3.0, 2.0], [0.5] * 6])
    first, equal = supports({"top_k": top_k}, logits)
    assert first == kept
    assert equal == set(range(min(top_k, 6)))


def test_equals_keep_their_order_in_a_vocabulary_too_large_for_a_simple_sort():
    assert supports({"top_k": 2}, torch.zeros(1, 5000), draws=50) == [{0, 1}]


@pytest.mark.parametrize(
    ("top_p", "kept"),
    [
        (0.01, {2}),
        (0.5, {2}),
        (0.51, {1, 2}),
        (0.75, {1, 2}),
        (0.8, {0, 1, 2}),
        (1.0, {0, 1, 2, 3}),
    ],
)
def test_top_p_keeps_the_fewest_tokens_that_hold_it(top_p, kept):
    """Probabilities 1/8, 1/4, 1/2, 1/8: exact in binary, so that a boundary is one."""
    logits = torch.tensor([0.125, 0.25, 0.5, 0.125], dtype=torch.float64).log()[None]
    assert supports({"top_p": top_p}, logits) == [kept]


def test_top_p_keeps_the_lowest_ids_among_equals():
    assert supports({"top_p": 0.5}, torch.zeros(1, 4)) == [{0, 1}]


def test_top_p_measures_what_top_k_left():
    """Of 4, 3, 2, 1 parts, top_k=2 leaves 4/7 and 3/7: half is held by the first alone."""
    logits = torch.tensor([[4.0, 3.0, 2.0, 1.0]]).log()
    assert supports({"top_k": 2, "top_p": 0.5}, logits) == [{0}]
    assert supports({"top_p": 0.5}, logits) == [{0, 1}]


def test_temperature_zero_is_greedy_and_equals_top_k_one(generator):
    logits = torch.randn(5, V, generator=generator)
    logits[0] = 1.5
    logits[1, [3, 11]] = logits[1].max() + 1
    greedy = [row.index(max(row)) for row in logits.tolist()]  # the lowest id among equals
    assert greedy[:2] == [0, 3]
    assert Sampler(temperature=0.0)(logits).tolist() == greedy
    assert Sampler(top_k=1)(logits).tolist() == greedy
    assert Sampler(temperature=0.0, top_k=5, top_p=0.9)(logits).tolist() == greedy


@pytest.mark.parametrize("temperature", [1e-4, 1e-300, 5e-324])
def test_a_temperature_near_zero_draws_the_likeliest(temperature, generator):
    logits = torch.randn(5, V, generator=generator)
    assert torch.equal(Sampler(temperature=temperature)(logits), logits.argmax(dim=-1))


def test_logits_of_any_size_are_drawn_from():
    logits = torch.tensor([[3e38, -3e38, 3e38, 0.0]])
    assert supports({}, logits, draws=100) == [{0, 2}]


def draws(sampler, logits, count=20):
    return torch.stack([sampler(logits) for _ in range(count)])


def test_the_same_seed_gives_the_same_draws_and_another_seed_others():
    logits = torch.zeros(3, V)
    first = draws(Sampler(seed=5), logits)
    assert torch.equal(draws(Sampler(seed=5), logits), first)
    assert not torch.equal(draws(Sampler(seed=6), logits), first)


def test_seeds_that_agree_in_their_last_32_bits_draw_differently():
    """torch's generator reads no more bits of a seed than these."""
    logits = torch.zeros(1, V)
    first = draws(Sampler(seed=7), logits)
    for seed in (7 + 2**32, 7 + 2**33, 7 + 2**62):
        assert not torch.equal(draws(Sampler(seed=seed), logits), first)


def test_draws_do_not_touch_the_global_generator():
    before = torch.get_rng_state()
    draws(Sampler(), torch.zeros(3, V))
    assert torch.equal(torch.get_rng_state(), before)


def test_draws_of_a_row_do_not_depend_on_the_number_of_rows(generator):
    logits = torch.randn(5, V, generator=generator)
    five = draws(Sampler(seed=3), logits)
    for rows in (1, 2, 3):
        assert torch.equal(draws(Sampler(seed=3), logits[:rows]), five[:, :rows])


def test_rows_draw_differently_and_no_row_is_one_of_a_neighbouring_seed():
    logits = torch.zeros(5, V)
    streams = torch.cat([draws(Sampler(seed=seed), logits).T for seed in range(5)])
    assert len(streams.unique(dim=0)) == 25


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_logits_that_are_not_finite_are_refused(bad, temperature):
    logits = torch.zeros(2, V)
    logits[1, 4] = bad
    with pytest.raises(ValueError, match="logits are not finite"):
        Sampler(temperature=temperature)(logits)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": -0.1}, "temperature must be at least 0, got -0.1"),
        ({"temperature": math.nan}, "temperature must be at least 0, got nan"),
        ({"top_k": 0}, "top_k must be at least 1, got 0"),
        ({"top_p": 0.0}, r"top_p must be greater than 0 and at most 1, got 0\.0"),
        ({"top_p": 1.1}, r"top_p must be greater than 0 and at most 1, got 1\.1"),
        ({"top_p": math.nan}, "top_p must be greater than 0 and at most 1, got nan"),
        ({"min_p": -0.1}, "min_p must be at least 0 and at most 1, got -0.1"),
        ({"min_p": math.nan}, "min_p must be at least 0 and at most 1, got nan"),
        ({"repetition_penalty": 0.0}, r"repetition_penalty must be between 0.001 and 1000, got 0"),
        ({"repetition_penalty": math.nan}, "repetition_penalty must be between .*, got nan"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Sampler(**settings)
