"""The decoding loop: which window each step reads, and what comes out."""

import os
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from tests.marks import first_fast
from transformer.decoding.loop import decode
from transformer.decoding.sampling import Sampler
from transformer.models.bigram import Bigram

pytestmark = pytest.mark.parity
V, BLOCK_SIZE = 13, 7
OPTIONS = [
    {},
    {"positions": "sinusoidal"},
    {"positions": "rotary", "norm": "rmsnorm", "qk_norm": True},
    {"positions": "none"},
    {"ngram_size": 3, "token_shift": True},
]
each_option = pytest.mark.parametrize("options", OPTIONS, ids=str)
TYPES = [torch.float64, torch.float32]


def next_window(window, token, size=BLOCK_SIZE):
    """A full window loses its oldest half (of an odd size, the larger) before a token joins it."""
    if len(window) == size:
        window = window[size - size // 2 :]
    return [*window, token]


def draw(length, generator):
    return torch.randint(V, (length,), generator=generator)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@each_option
@pytest.mark.parametrize(
    "lengths", first_fast([(1, 3, 7, 10, 2), (19,), (1,), (7,), (4, 4)], 2), ids=str
)
@torch.no_grad()
def test_each_steps_logits_equal_one_uncached_pass_over_exactly_its_window(
    make_gpt, options, dtype, lengths, generator, same_logits
):
    """Rows of equal and of different lengths, through several turns of the window."""
    model = make_gpt(**options).to(dtype)
    prompts = [draw(length, generator) for length in lengths]
    windows = [prompt[-BLOCK_SIZE:].tolist() for prompt in prompts]
    sampler = Sampler(seed=1, temperature=3.0)
    steps = decode(model, prompts, max_new_tokens=15, sampler=sampler)
    drawn = []
    for step in steps:
        for size in set(map(len, windows)):
            rows = [row for row, window in enumerate(windows) if len(window) == size]
            uncached = model(torch.tensor([windows[row] for row in rows]))[:, -1]
            same_logits(step.logits[rows], uncached, model)
        windows = list(map(next_window, windows, step.tokens.tolist()))
        drawn += step.tokens.tolist()
    assert len(set(drawn)) > 4  # a model that repeats one token would show little


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@torch.no_grad()
def test_the_smallest_contexts_turn_too(make_gpt, float64, size, generator, same_logits):
    model = make_gpt(block_size=size)
    window = draw(1, generator).tolist()
    for step in decode(model, [torch.tensor(window)], max_new_tokens=9, sampler=Sampler()):
        same_logits(step.logits, model(torch.tensor([window]))[:, -1], model)
        window = next_window(window, step.tokens.item(), size)


@torch.no_grad()
def test_a_row_is_decoded_alike_alone_and_in_any_batch(make_gpt, generator):
    """In float64, where rows of a batch differ too little to change a draw."""
    model = make_gpt().double()
    prompts = [draw(length, generator) for length in (2, 7, 5, 11, 1)]

    def tokens(rows):
        steps = decode(model, rows, max_new_tokens=29, sampler=Sampler(seed=5))
        return torch.stack([step.tokens for step in steps], dim=1)

    everything = tokens(prompts)
    for count in range(1, len(prompts)):
        assert torch.equal(tokens(prompts[:count]), everything[:count])


@torch.no_grad()
def test_a_bigram_model_reads_its_last_token(generator):
    model = Bigram(vocab_size=V, block_size=3)
    torch.nn.init.normal_(model.next_token.weight, generator=generator)
    last = 5
    steps = decode(model, [torch.tensor([1, last])], max_new_tokens=17, sampler=Sampler())
    for step in steps:
        assert torch.equal(step.logits[0], model.next_token.weight[last])
        last = step.tokens.item()


class Counted:
    """A model that counts its passes and the tokens that go through it."""

    def __init__(self, model):
        self.model, self.block_size, self.make_cache = model, model.block_size, model.make_cache
        self.calls = []

    def __call__(self, tokens, *, cache):
        self.calls.append(tokens.shape[1])
        return self.model(tokens, cache=cache)


def test_one_token_a_step_is_read_but_for_the_turns_of_the_window(make_gpt, generator):
    model = Counted(make_gpt())
    list(decode(model, [draw(5, generator)], max_new_tokens=12, sampler=Sampler()))
    assert model.calls == [5, 1, 1, 4, 1, 1, 1, 4, 1, 1, 1, 4]


def test_tokens_come_one_at_a_time_as_they_are_made(make_gpt, generator):
    model = Counted(make_gpt())
    steps = decode(model, [draw(3, generator)], max_new_tokens=None, sampler=Sampler())
    next(steps)
    assert model.calls == [3]
    for _ in range(100):
        next(steps)


STATM = Path("/proc/self/statm")


@pytest.mark.slow
@pytest.mark.skipif(not STATM.exists(), reason="a Linux file says how much memory is in use")
def test_five_thousand_tokens_take_no_more_memory_than_five_hundred(make_gpt, generator):
    """Were keys and values kept for all of them, they would be 6 MB in float64."""
    model = make_gpt(num_blocks=1, embedding_dim=90).double()
    steps = decode(model, [draw(3, generator)], max_new_tokens=5_000, sampler=Sampler())

    def resident_bytes():
        return int(STATM.read_text(encoding="utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE")

    for number, _ in enumerate(steps):
        if number == 500:
            before = resident_bytes()
    assert resident_bytes() - before < 4e6


def test_no_new_tokens_run_no_model(make_gpt, generator):
    model = Counted(make_gpt())
    assert list(decode(model, [draw(3, generator)], max_new_tokens=0, sampler=Sampler())) == []
    assert model.calls == []


def test_a_negative_number_of_tokens_is_refused(make_gpt):
    with pytest.raises(ValueError, match="max_new_tokens must be a whole number from 0, got -1"):
        make_gpt().generate(torch.tensor([[3]]), max_new_tokens=-1)


@pytest.mark.parametrize("tokens", [[[1, 13]], [[-1]]], ids=str)
def test_tokens_outside_the_vocabulary_are_refused(make_gpt, tokens):
    with pytest.raises(ValueError, match=r"tokens must be \(B, T\) with ids from 0 to 12"):
        make_gpt().generate(torch.tensor(tokens), max_new_tokens=1)


def test_an_empty_prompt_is_refused(make_gpt):
    with pytest.raises(ValueError, match="at least one token"):
        next(
            decode(
                make_gpt(), [torch.zeros(0, dtype=torch.long)], max_new_tokens=1, sampler=Sampler()
            )
        )


def test_the_sampler_gets_float32_logits(make_gpt, generator):
    model = make_gpt().bfloat16()
    tokens = draw(5, generator)
    step = next(decode(model, [tokens], max_new_tokens=1, sampler=Sampler()))
    assert step.logits.dtype == torch.float32
    expected = model(tokens[None])[:, -1].float()
    assert_close(step.logits, expected, rtol=2e-2, atol=2e-2 * expected.abs().max().item())


def test_the_caller_keeps_gradients_on_between_tokens(make_gpt):
    """A generator that leaves inference mode on while it waits would switch training off."""
    steps = decode(make_gpt(), [torch.tensor([3])], max_new_tokens=2, sampler=Sampler())
    next(steps)
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()


@pytest.mark.parametrize("training", [True, False])
def test_a_model_generates_by_itself_in_eval_mode_and_stays_in_its_own(
    make_gpt, training, generator
):
    model = make_gpt(dropout=0.5).train(training)
    tokens = torch.stack([draw(4, generator) for _ in range(3)])
    made = model.generate(tokens, max_new_tokens=17, temperature=0.7, top_k=5, seed=3)
    assert model.training == training
    model.eval()
    sampler = Sampler(temperature=0.7, top_k=5, seed=3)
    steps = decode(model, list(tokens), max_new_tokens=17, sampler=sampler)
    expected = torch.stack([step.tokens for step in steps], dim=1)
    assert torch.equal(made, torch.cat((tokens, expected), dim=1))
    assert torch.equal(model.generate(tokens, max_new_tokens=0), tokens)
