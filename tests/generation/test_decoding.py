"""The decoding loop: what the model reads, and what comes out."""

import pytest
import torch

from transformer.generation.decoding import decode
from transformer.generation.sampling import Sampler

V = 13


def greedy(logits):
    return logits.argmax(dim=-1)


class Counting:
    """After token n comes n + 1; keeps what it was given to read."""

    block_size = 5

    def __init__(self):
        self.windows = []

    def __call__(self, tokens):
        self.windows.append(tokens.clone())
        return torch.nn.functional.one_hot((tokens + 1) % V, V).float()


def generate(model, tokens, count, choose=greedy):
    return torch.stack(list(decode(model, tokens, max_new_tokens=count, choose=choose)), dim=1)


def test_each_step_reads_the_last_block_size_tokens():
    model = Counting()
    tokens = torch.tensor([[0, 1, 2], [7, 8, 9]])
    generate(model, tokens, 4)
    expected = [[0, 1, 2], [0, 1, 2, 3], [0, 1, 2, 3, 4], [1, 2, 3, 4, 5]]
    assert [window[0].tolist() for window in model.windows] == expected
    assert [window[1, -1].item() for window in model.windows] == [9, 10, 11, 12]


def test_a_prompt_longer_than_the_context_is_cut_from_the_left():
    model = Counting()
    new = generate(model, torch.arange(11)[None], 3)
    assert model.windows[0].tolist() == [[6, 7, 8, 9, 10]]
    assert new.tolist() == [[11, 12, 0]]


@pytest.mark.parametrize("length", [1, 6, 7, 8, 19])
def test_decoding_equals_cropping_and_computing_anew(make_gpt, length, generator):
    model = make_gpt()
    tokens = torch.randint(V, (2, length), generator=generator)
    new = generate(model, tokens, 17, Sampler(seed=1))
    everything, sampler = tokens, Sampler(seed=1)
    with torch.no_grad():
        for _ in range(17):
            logits = model(everything[:, -7:])[:, -1]
            everything = torch.cat((everything, sampler(logits)[:, None]), dim=1)
    assert torch.equal(new, everything[:, length:])
    assert len(new.unique()) > 4  # a model that repeats one token would show little


def test_choose_gets_float32_logits_of_the_last_position(make_gpt, generator):
    model = make_gpt().bfloat16()
    tokens = torch.randint(V, (2, 5), generator=generator)
    seen = []

    def choose(logits):
        seen.append(logits)
        return greedy(logits)

    generate(model, tokens, 1, choose)
    assert seen[0].dtype == torch.float32
    assert torch.equal(seen[0], model(tokens)[:, -1].float())


def test_tokens_come_one_at_a_time_as_they_are_made():
    model = Counting()
    steps = decode(model, torch.tensor([[3]]), max_new_tokens=5, choose=greedy)
    assert next(steps).tolist() == [4]
    assert len(model.windows) == 1


def test_no_new_tokens_run_no_model():
    model = Counting()
    assert list(decode(model, torch.tensor([[3]]), max_new_tokens=0, choose=greedy)) == []
    assert model.windows == []


def test_the_caller_keeps_gradients_on_between_tokens(make_gpt):
    """A generator that leaves inference mode on while it waits would switch training off."""
    steps = decode(make_gpt(), torch.tensor([[3]]), max_new_tokens=2, choose=greedy)
    next(steps)
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()
