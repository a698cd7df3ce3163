"""How the page's engine draws tokens: the laws of Python's sampling, with its own randomness."""

import math
from collections import Counter

import pytest
import torch

from tests.pages.node import needs_node
from transformer.decoding.sampling import Sampler

pytestmark = needs_node
PROMPT = [1, 7, 2, 11]
SETTINGS = [
    {"temperature": 0.7},
    {"top_k": 3},
    {"top_p": 0.6},
    {"min_p": 0.3},
    {"repetition_penalty": 1.7},
    {"temperature": 1.3, "top_k": 6, "top_p": 0.8, "min_p": 0.05, "repetition_penalty": 0.8},
    {"temperature": 0.0, "repetition_penalty": 3.0},
]


@pytest.fixture
def gpt(make_gpt):
    return make_gpt(positions="rotary", tie_weights=False)


@torch.inference_mode()
def python_probabilities(model, settings):
    """What Python's sampler draws from, put together from its parts."""
    logits = model(torch.tensor([PROMPT]))[:, -1]
    penalty = settings.get("repetition_penalty", 1.0)
    for id_ in set(PROMPT):
        logits[0, id_] *= 1 / penalty if logits[0, id_] > 0 else penalty
    temperature = settings.get("temperature", 1.0)
    if temperature == 0:
        return torch.nn.functional.one_hot(logits.argmax(), logits.shape[1]).double()
    values, order = (logits.double() / temperature).sort(descending=True, stable=True)
    shares = values.softmax(dim=-1)
    kept = shares * Sampler(**settings)._kept(shares)
    return torch.zeros_like(kept).scatter(1, order, kept / kept.sum())[0]


def test_a_distribution_is_that_of_python_under_each_setting(job, gpt):
    number = job.add_model(gpt)
    for settings in SETTINGS:
        job.call(number, "distribution", {"ids": PROMPT, "sampling": settings, "count": 13})
    results = [result["result"] for result in job.run()]
    plain = python_probabilities(gpt, {})
    for settings, found in zip(SETTINGS, results, strict=True):
        changed = python_probabilities(gpt, settings)
        for (id_, _, before), (same, _, after) in zip(*found.values(), strict=True):
            assert id_ == same
            assert before == pytest.approx(plain[id_].item(), abs=1e-5)
            assert after == pytest.approx(changed[id_].item(), abs=1e-5)


def test_the_same_seed_writes_the_same_text_and_others_write_others(job, gpt):
    number = job.add_model(gpt)
    seeds = [5, 5, 6, 5 + 2**32]
    for seed in seeds:
        sampling = {"temperature": 1.0, "seed": seed}
        job.call(number, "write", {"ids": PROMPT, "count": 50, "sampling": sampling})
    first, again, *others = [result["result"]["ids"] for result in job.run()]
    assert first == again
    assert all(other != first for other in others)


def test_the_likeliest_of_one_is_greedy_also_with_a_penalty(job, gpt):
    number = job.add_model(gpt)
    for penalty in (1.0, 1.5):
        for sampling in ({"temperature": 0}, {"temperature": 2, "top_k": 1}):
            sampling = sampling | {"repetition_penalty": penalty}
            job.call(number, "write", {"ids": PROMPT, "count": 30, "sampling": sampling})
    greedy, first, penalized, first_penalized = [r["result"]["ids"] for r in job.run()]
    assert greedy == first
    assert penalized == first_penalized
    assert penalized != greedy
    for expected, penalty in ((greedy, 1.0), (penalized, 1.5)):
        ours = gpt.generate(
            torch.tensor([PROMPT]), max_new_tokens=30, temperature=0.0, repetition_penalty=penalty
        )
        assert ours[0, len(PROMPT) :].tolist() == expected


def test_frequencies_follow_the_softmax(job):
    """Chi-squared over 20,000 draws: below its mean plus five times its standard deviation."""
    logits = [0.3, -1.0, 2.0, 0.3, 1.1, -3.0, 0.0]
    count = 20_000
    job.evaluate(
        f"(() => {{ const sampler = new Sampler(checkedSampling({{ seed: 3 }}), []);"
        f"return Array.from({{ length: {count} }}, () => sampler.next({logits})); }})()"
    )
    (result,) = job.run()
    drawn = Counter(result["result"])
    expected = torch.tensor(logits).softmax(dim=0) * count
    statistic = sum((drawn[i] - e) ** 2 / e for i, e in enumerate(expected.tolist()))
    freedom = len(logits) - 1
    assert statistic < freedom + 5 * math.sqrt(2 * freedom)


def test_random_numbers_are_those_of_the_published_generator(job):
    """sfc32 as Doty-Humphrey wrote it, here in Python's whole numbers."""
    job.evaluate(
        "(() => { const r = new Random(7 + 9 * 2 ** 32); return [r.word(), r.word()]; })()"
    )
    (found,) = job.run()

    a, b, c, counter = 7, 9, 0, 1
    words = []
    for _ in range(17):
        words.append((a + b + counter) % 2**32)
        counter = (counter + 1) % 2**32
        a = b ^ b >> 9
        b = (c + (c << 3)) % 2**32
        c = ((c << 21 | c >> 11) + words[-1]) % 2**32
    assert found["result"] == words[15:]


def test_each_token_comes_with_its_surprise_and_the_likeliest(job, gpt):
    number = job.add_model(gpt)
    sampling = {"temperature": 3, "seed": 1}
    job.call(number, "write", {"ids": PROMPT[:1], "count": 6, "sampling": sampling})
    (result,) = job.run()
    tokens = PROMPT[:1] + result["result"]["ids"]
    assert result["result"]["num_written"] == len(result["events"]) == 6
    with torch.inference_mode():
        expected = gpt(torch.tensor([tokens[:-1]]))[0].log_softmax(dim=1)
    for row, event in zip(expected, result["events"], strict=True):
        assert event["surprise"] == pytest.approx(-row[event["id"]].item() / math.log(2), abs=1e-4)
        shares, ids = row.exp().topk(5)
        assert [id_ for id_, _, _ in event["alternatives"]] == ids.tolist()
        assert [p for *_, p in event["alternatives"]] == pytest.approx(shares.tolist(), abs=1e-5)


def test_writing_ends_at_stop_between_two_tokens(job, gpt):
    number = job.add_model(gpt)
    job.call(number, "facts")  # makes the engine
    job.evaluate(
        f"(async () => {{ const engine = engines.get({number}); const ids = []; let asked = false;"
        "const emit = ({ id }) => { ids.push(id);"
        "if (!asked) { asked = true; setTimeout(() => engine.stop(), 20); } };"
        "const done = await engine.write({ ids: [1], count: 1e9 }, emit);"
        "return [done.stopped, done.num_written === ids.length]; })()"
    )
    _, result = job.run()
    assert result["result"] == [True, True]


def test_a_setting_out_of_range_is_refused_by_name(job):
    refused = {
        "{ temperature: -1 }": "temperature must be at least 0, got -1",
        "{ top_k: 0 }": "top_k must be at least 1, got 0",
        "{ top_p: 0 }": "top_p must be greater than 0 and at most 1, got 0",
        "{ min_p: 2 }": "min_p must be at least 0 and at most 1, got 2",
        "{ repetition_penalty: 0 }": "repetition_penalty must be between 0.001 and 1000, got 0",
        "{ top_q: 1 }": "unknown setting of sampling: top_q",
    }
    for settings in refused:
        job.evaluate(f"checkedSampling({settings})")
    assert [result["error"] for result in job.run()] == list(refused.values())
