"""Beam search through a GPT: its cache, several sources, and what a hypothesis is worth."""

import pytest
import torch

from transformer.decoding.beam_search import beam_search

pytestmark = pytest.mark.parity
BEGIN, END = 1, 0


class Prompted:
    """A GPT whose sources are prompts, with its cache or without."""

    def __init__(self, gpt, prompts, cached=True):
        self.gpt, self.prompts, self.cached = gpt, prompts, cached

    def make_cache(self, num_rows):
        prompts = self.prompts.repeat_interleave(num_rows // len(self.prompts), dim=0)
        if not self.cached:
            return Read(prompts)
        cache = self.gpt.make_cache(num_rows)
        self.gpt(prompts, cache=cache)
        return cache

    def __call__(self, tokens, *, cache):
        if self.cached:
            return self.gpt(tokens, cache=cache)
        cache.tokens = torch.cat((cache.tokens, tokens), dim=1)
        return self.gpt(cache.tokens)[:, -1:]


class Read:
    def __init__(self, tokens):
        self.tokens = tokens

    def select(self, rows):
        self.tokens = self.tokens[rows]


@pytest.fixture
def prompted(make_gpt, generator):
    gpt = make_gpt(vocab_size=11, block_size=13, ngram_size=3, token_shift=True).double()
    return Prompted(gpt, torch.randint(11, (7, 2), generator=generator))


settings = {"begin": BEGIN, "end": END, "max_new_tokens": 11, "num_beams": 3}


def assert_alike(found, expected):
    for hypotheses, others in zip(found, expected, strict=True):
        assert [h.tokens for h in hypotheses] == [h.tokens for h in others]
        assert [h.finished for h in hypotheses] == [h.finished for h in others]
        for ours, theirs in zip(hypotheses, others, strict=True):
            assert ours.log_probability == pytest.approx(theirs.log_probability, abs=1e-10)
            assert ours.score == pytest.approx(theirs.score, abs=1e-10)


def test_a_cached_model_gives_what_it_gives_without_a_cache(prompted):
    found = beam_search(prompted, 7, **settings)
    prompted.cached = False
    assert_alike(found, beam_search(prompted, 7, **settings))
    assert max(len(h.tokens) for hypotheses in found for h in hypotheses) > 4


def test_a_source_gives_the_same_alone_and_beside_others(prompted):
    found = beam_search(prompted, 7, **settings)
    for source, prompt in enumerate(prompted.prompts):
        alone = Prompted(prompted.gpt, prompt[None])
        assert_alike([found[source]], beam_search(alone, 1, **settings))


@torch.no_grad()
def test_a_log_probability_is_the_sum_that_the_model_itself_gives(prompted):
    for prompt, found in zip(prompted.prompts, beam_search(prompted, 7, **settings), strict=True):
        assert [h.tokens for h in found] != []
        for hypothesis in found:
            new = torch.tensor(hypothesis.tokens + [END] * hypothesis.finished)
            tokens = torch.cat((prompt, torch.tensor([BEGIN]), new))
            log_probabilities = prompted.gpt(tokens[None, :-1])[0, 2:].log_softmax(dim=1)
            total = log_probabilities.gather(1, new[:, None]).sum().item()
            assert hypothesis.log_probability == pytest.approx(total, abs=1e-10)
