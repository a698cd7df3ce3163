"""Beam search: what it finds, beside a search of everything and a plain one in Python."""

import itertools
import math

import pytest
import torch

from transformer.decoding.beam_search import _ranked, beam_search
from transformer.decoding.sampling import NotFiniteError

V, BEGIN, END = 5, 1, 0
SIZE = 4
PENALTIES = [0.0, 0.6, 1.0]
each_penalty = pytest.mark.parametrize("penalty", PENALTIES)
settings = {"begin": BEGIN, "end": END, "max_new_tokens": SIZE}


class Scripted:
    """Logits that depend on the source and on all tokens before: one table for each length."""

    def __init__(self, num_sources, seed=0, vocab_size=V, size=SIZE, sharpness=2.0):
        generator = torch.Generator().manual_seed(seed)
        shape = (num_sources, size, 64, vocab_size)
        self.tables = sharpness * torch.randn(shape, generator=generator, dtype=torch.float64)
        self.num_sources, self.calls = num_sources, []

    def logits(self, source, tokens):
        """After BEGIN and these tokens."""
        mixed = 0
        for token in tokens:
            mixed = (mixed * 31 + token + 7) % 61
        return self.tables[source, len(tokens), mixed]

    def make_cache(self, num_rows):
        num_beams = num_rows // self.num_sources
        return History(torch.arange(self.num_sources).repeat_interleave(num_beams), num_beams)

    def __call__(self, tokens, *, cache):
        assert tokens.shape == (len(cache.sources), 1)
        self.calls.append(len(tokens))
        cache.tokens = torch.cat((cache.tokens, tokens), dim=1)
        rows = zip(cache.sources.tolist(), cache.tokens.tolist(), strict=True)
        assert all(tokens[0] == BEGIN for tokens in cache.tokens.tolist())
        return torch.stack([self.logits(source, tokens[1:]) for source, tokens in rows])[:, None]


class History:
    def __init__(self, sources, num_beams):
        self.sources, self.num_beams = sources, num_beams
        self.tokens = torch.zeros(len(sources), 0, dtype=torch.long)

    def select(self, rows):
        """Holds beam search to what it promises: whole sources, each with rows of its own."""
        kept = rows[:: self.num_beams] // self.num_beams
        assert torch.equal(rows // self.num_beams, kept.repeat_interleave(self.num_beams))
        assert len(kept.unique()) == len(kept)
        self.sources, self.tokens = self.sources[rows], self.tokens[rows]


def score(total, length, penalty):
    return total / ((5 + length) / 6) ** penalty


def log_probability(model, source, tokens):
    """Of these tokens, which may hold END as their last."""
    steps = (
        model.logits(source, tokens[:place]).log_softmax(0)[token].item()
        for place, token in enumerate(tokens)
    )
    return sum(steps)


def every_finished(model, source, penalty):
    """All sequences with an END within SIZE tokens, as (score, tokens without it), best first."""
    found = []
    for length in range(SIZE):
        for tokens in itertools.product([t for t in range(V) if t != END], repeat=length):
            total = log_probability(model, source, [*tokens, END])
            found.append((score(total, length + 1, penalty), list(tokens)))
    return sorted(found, reverse=True)


def plain_search(model, source, num_beams, penalty, size=SIZE, forbidden=()):
    """Beam search in lists, which goes on to the last length whatever it has found."""
    live, finished = [(0.0, [])], []
    for length in range(1, size + 1):
        candidates = []
        for total, tokens in live:
            scores = model.logits(source, tokens).log_softmax(0).tolist()
            candidates += [
                (total + score, [*tokens, token])
                for token, score in enumerate(scores)
                if token not in forbidden
            ]
        candidates.sort(reverse=True)
        finished += [
            (score(total, length, penalty), total, True, tokens[:-1])
            for total, tokens in candidates[:num_beams]
            if tokens[-1] == END
        ]
        live = [(total, tokens) for total, tokens in candidates if tokens[-1] != END][:num_beams]
    unfinished = [(score(total, size, penalty), total, False, tokens) for total, tokens in live]
    return (sorted(finished, reverse=True) + unfinished)[:num_beams]


def assert_same(found, expected):
    """To a part in 1e10: the same mathematics in float64."""
    assert [h.tokens for h in found] == [tokens for *_, tokens in expected]
    assert [h.finished for h in found] == [finished for _, _, finished, _ in expected]
    for hypothesis, (score, total, _, _) in zip(found, expected, strict=True):
        assert hypothesis.log_probability == pytest.approx(total, abs=1e-10)
        assert hypothesis.score == pytest.approx(score, abs=1e-10)


@each_penalty
@pytest.mark.parametrize("seed", range(3))
def test_a_beam_as_wide_as_all_sequences_finds_the_best_of_them_in_order(seed, penalty):
    model = Scripted(1, seed)
    (found,) = beam_search(model, 1, **settings, num_beams=V**SIZE, length_penalty=penalty)
    expected = every_finished(model, 0, penalty)
    finished = [hypothesis for hypothesis in found if hypothesis.finished]
    assert [hypothesis.tokens for hypothesis in finished] == [tokens for _, tokens in expected]
    assert [h.score for h in finished] == pytest.approx([s for s, _ in expected], abs=1e-10)
    assert len(found) - len(finished) == (V - 1) ** SIZE  # all that have no end, behind them
    assert not any(hypothesis.finished for hypothesis in found[len(finished) :])


@pytest.mark.parametrize("forbidden", [(), (BEGIN, 3)], ids=str)
@pytest.mark.parametrize("penalty", [*PENALTIES, 3.0])
@pytest.mark.parametrize("num_beams", [2, 3, 7])
def test_it_finds_what_a_plain_search_without_an_early_stop_finds(num_beams, penalty, forbidden):
    """So it never stops too early, and no source looks at another's."""
    size, num_sources = 7, 11
    model = Scripted(num_sources, seed=num_beams, size=size)
    found = beam_search(
        model,
        num_sources,
        begin=BEGIN,
        end=END,
        max_new_tokens=size,
        num_beams=num_beams,
        length_penalty=penalty,
        forbidden=forbidden,
    )
    for source, hypotheses in enumerate(found):
        assert_same(hypotheses, plain_search(model, source, num_beams, penalty, size, forbidden))


@each_penalty
@pytest.mark.parametrize("num_results", [1, 2, 4])
def test_fewer_results_are_the_first_of_all_and_need_no_more_steps(num_results, penalty):
    size, num_sources = 7, 31
    model, other = Scripted(num_sources, size=size), Scripted(num_sources, size=size)
    all_settings = settings | {"max_new_tokens": size, "num_beams": 5, "length_penalty": penalty}
    found = beam_search(model, num_sources, **all_settings)
    first = beam_search(other, num_sources, **all_settings, num_results=num_results)
    assert first == [hypotheses[:num_results] for hypotheses in found]
    assert sum(other.calls) < sum(model.calls)


@each_penalty
def test_one_beam_is_greedy_decoding(penalty):
    """It ends at its first END, and takes the lowest id of equals."""
    num_sources, size = 31, 7
    model = Scripted(num_sources, size=size)
    model.tables = model.tables.round()  # so that there are equals
    found = beam_search(
        model, num_sources, begin=BEGIN, end=END, max_new_tokens=size, length_penalty=penalty
    )
    lengths = set()
    for source, hypotheses in enumerate(found):
        tokens = []
        while len(tokens) < size and END not in tokens:
            tokens.append(model.logits(source, tokens).argmax().item())
        total = log_probability(model, source, tokens)
        finished = END in tokens
        kept = tokens[:-1] if finished else tokens
        assert_same(hypotheses, [(score(total, len(tokens), penalty), total, finished, kept)])
        lengths.add((len(tokens), finished))
    assert len(lengths) > 4


def test_a_source_that_is_done_is_no_longer_computed():
    model = Scripted(3)
    model.tables[0, 0, :, END] = 20.0
    model.tables[:, 1, :, END] = 20.0
    model.tables[2, :, :, END] = -20.0
    found = beam_search(model, 3, **settings)
    assert model.calls == [3, 2, 1, 1]
    assert [len(hypotheses[0].tokens) for hypotheses in found] == [0, 1, SIZE]


def test_without_a_penalty_a_source_is_done_once_all_places_are_safe():
    """One END of log-probability near 0, and the next two steps bring the other places' ENDs."""
    model = Scripted(1, size=7)
    model.tables[:, :, :, END] = 5.0
    beam_search(model, 1, begin=BEGIN, end=END, max_new_tokens=7, num_beams=2, length_penalty=0.0)
    assert model.calls == [2, 2]


def test_an_end_at_once_is_an_empty_sequence():
    model = Scripted(2)
    model.tables[:, 0, :, END] = 9.0
    for hypotheses in beam_search(model, 2, **settings, num_beams=3):
        assert hypotheses[0].tokens == []
        assert hypotheses[0].finished


@pytest.mark.parametrize("size", [1, 3])
def test_what_has_no_end_by_max_new_tokens_is_given_as_not_finished(size):
    model = Scripted(2)
    model.tables[..., END] = -50.0
    found = beam_search(model, 2, begin=BEGIN, end=END, max_new_tokens=size, num_beams=3)
    assert [[len(h.tokens) for h in hypotheses] for hypotheses in found] == [[size] * 3] * 2
    assert not any(h.finished for hypotheses in found for h in hypotheses)
    scores = [[h.score for h in hypotheses] for hypotheses in found]
    assert scores == [sorted(row, reverse=True) for row in scores]


def test_forbidden_tokens_never_come_and_leave_the_others_their_probability():
    model = Scripted(5)
    forbidden = (BEGIN, 3)
    model.tables[..., forbidden] += 4.0
    for source, found in enumerate(
        beam_search(model, 5, **settings, num_beams=3, forbidden=forbidden)
    ):
        for hypothesis in found:
            assert not set(hypothesis.tokens) & {*forbidden, END}
            tokens = hypothesis.tokens + [END] * hypothesis.finished
            total = log_probability(model, source, tokens)
            assert hypothesis.log_probability == pytest.approx(total, abs=1e-10)


def test_where_all_but_the_end_is_forbidden_there_is_one_hypothesis():
    model = Scripted(2)
    found = beam_search(model, 2, **settings, num_beams=3, forbidden=range(1, V))
    assert [[h.tokens for h in hypotheses] for hypotheses in found] == [[[]], [[]]]
    assert model.calls == [6]


def test_log_probabilities_of_a_bfloat16_model_are_float32():
    class Rounded(Scripted):
        def __call__(self, tokens, *, cache):
            return super().__call__(tokens, cache=cache).bfloat16()

    model = Rounded(1)
    model.tables = model.tables.bfloat16().double()
    (found,) = beam_search(model, 1, **settings, num_beams=3)
    for hypothesis in found:
        total = log_probability(model, 0, hypothesis.tokens + [END] * hypothesis.finished)
        assert hypothesis.log_probability == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize("num_values", [1, 3, 50])  # of 37 columns all are equal, many, or few
@pytest.mark.parametrize("num_beams", [1, 5, 35, 36, 41])
@pytest.mark.parametrize("never", [[], [0, 7], list(range(30))], ids=len)
def test_the_likeliest_tokens_are_the_first_of_a_full_stable_sort(num_values, num_beams, never):
    """So that of equals the lowest id comes first, also where not all of them are taken."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randint(num_values, (53, 37), generator=generator).double()
    allowed = logits.clone()
    allowed[:, never] = -math.inf
    expected = allowed.argsort(dim=1, descending=True, stable=True)[:, : num_beams + 1]
    log_probabilities, tokens = _ranked(logits, torch.tensor(never, dtype=torch.long), num_beams)
    assert torch.equal(tokens, expected)
    removed = allowed.gather(1, expected).isneginf()
    values = logits.log_softmax(dim=1).gather(1, expected).masked_fill(removed, -math.inf)
    assert torch.equal(log_probabilities, values)


def test_no_sources_need_no_model():
    assert beam_search(Scripted(0), 0, **settings) == []


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_logits_that_are_not_finite_are_refused(value):
    model = Scripted(3)
    model.tables[1, 0, :, 2] = value
    with pytest.raises(NotFiniteError, match="the model's logits are not finite"):
        beam_search(model, 3, **settings)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"num_beams": 0}, "num_beams must be at least 1, got 0"),
        ({"num_results": 0}, "num_results must be between 1 and num_beams, got num_results=0"),
        ({"num_results": 2}, "got num_results=2 and num_beams=1"),
        ({"max_new_tokens": 0}, "max_new_tokens must be at least 1, got 0"),
        ({"length_penalty": -0.5}, "length_penalty must be at least 0 and finite, got -0.5"),
        ({"length_penalty": math.nan}, "length_penalty must be at least 0 and finite, got nan"),
        ({"forbidden": (3, END)}, "end=0 must not be among the forbidden tokens"),
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused(changes, match):
    with pytest.raises(ValueError, match=match):
        beam_search(Scripted(1), 1, **settings | changes)
