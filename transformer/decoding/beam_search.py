"""Beam search: finds likely target sequences for several sources at once."""

import math
from collections.abc import Collection
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from transformer.decoding.sampling import require_finite
from transformer.decoding.settings import Search

_EMPTY = -math.inf  # the log-probability of a place without a hypothesis


@runtime_checkable  # the shape checks of the tests need it
class TargetModel(Protocol):
    """A model that returns logits (R, T, V) for tokens (R, T) that follow the tokens in a cache.

    The R rows are num_beams neighboring rows for each source. `cache.select(rows)` keeps the rows
    with these indices, in this order. The rows of a source stay next to each other, so
    `rows[::num_beams] // num_beams` are the remaining sources. Their order may change.
    """

    def make_cache(self, num_rows: int) -> Any: ...

    def __call__(self, tokens: Tensor, /, *, cache: Any) -> Tensor: ...


class Hypothesis(NamedTuple):
    """Tokens between begin and end; if `finished`, the log-probability includes the end."""

    tokens: list[int]
    log_probability: float
    finished: bool
    score: float


def _ranked(
    logits: Float[Tensor, "R V"], never: Int[Tensor, " _"], num_beams: int
) -> tuple[Float[Tensor, "R M"], Int[Tensor, "R M"]]:
    """The num_beams + 1 likeliest tokens of each row, and their log-probabilities.

    One of them may be the end. Tokens are compared by logits, because different logits may round to
    the same log-probability.
    """
    require_finite(logits)
    if logits.dtype not in (torch.float32, torch.float64):
        logits = logits.float()
    allowed = logits.index_fill(1, never, _EMPTY)
    order = _largest(allowed, num_beams + 1)
    log_probabilities = logits.log_softmax(dim=1).gather(1, order)
    return log_probabilities.masked_fill(allowed.gather(1, order) == _EMPTY, _EMPTY), order


def _largest(values: Float[Tensor, "R V"], count: int) -> Int[Tensor, "R M"]:
    """The columns of the `count` largest values of each row, as a stable sort would order them.

    topk finds them if the next value is smaller than the last of them. If it is equal, the lowest
    ids must be chosen separately, because topk does not define the order of equal values.
    """
    count = min(count, values.shape[1])
    best, places = values.topk(min(count + 1, values.shape[1]), dim=1)
    places = places[:, :count].sort(dim=1).values
    last = best[:, count - 1 : count]
    tied = (last == best[:, -1:]).squeeze(1)
    above, equal = values[tied] > last[tied], values[tied] == last[tied]
    chosen = above | equal & (equal.cumsum(dim=1) <= count - above.sum(dim=1, keepdim=True))
    places[tied] = chosen.nonzero()[:, 1].view(-1, count)
    order = values.gather(1, places).argsort(dim=1, descending=True, stable=True)
    return places.gather(1, order)


class _Beams(NamedTuple):
    """K hypotheses of each source, the best first; `end` fills a row after its last token."""

    tokens: Int[Tensor, "B K L"]
    log_probabilities: Float[Tensor, "B K"]
    scores: Float[Tensor, "B K"]

    def take(self, places: Int[Tensor, "B _"]) -> "_Beams":
        rows = places[:, :, None].expand(-1, -1, self.tokens.shape[2])
        return _Beams(self.tokens.gather(1, rows), *(part.gather(1, places) for part in self[1:]))


class _Search:
    """The finished and the live hypotheses of the sources that are not done."""

    def __init__(
        self,
        sizes: tuple[int, int, int],
        end: int,
        divisors: list[float],
        device: torch.device | str,
    ) -> None:
        num_sources, num_beams, self.num_results = sizes
        tokens = torch.full((num_sources, num_beams, len(divisors) - 1), end, device=device)
        none = torch.full((num_sources, num_beams), _EMPTY, device=device)
        first = none.clone()
        first[:, 0] = 0.0  # all beams of a source start equal, so only one is used
        self.live, self.finished = _Beams(tokens, first, first), _Beams(tokens, none, none)
        self.sources = torch.arange(num_sources, device=device)
        self.num_beams, self.end, self.divisors = num_beams, end, divisors

    def step(
        self, log_probabilities: Float[Tensor, "R M"], tokens: Int[Tensor, "R M"], length: int
    ) -> Int[Tensor, "B K"]:
        """Extends the hypotheses to this length, the end included; returns each one's old beam."""
        count, num_ranked = self.num_beams, tokens.shape[1]
        totals = self.live.log_probabilities.flatten()[:, None] + log_probabilities
        totals = totals.reshape(-1, count * num_ranked)
        totals, order = totals.sort(dim=1, descending=True, stable=True)
        totals, order = totals[:, : 2 * count], order[:, : 2 * count]  # at most half are ends
        tokens = tokens.reshape(-1, count * num_ranked).gather(1, order)
        ends, parents = tokens == self.end, order // num_ranked
        self._finish(totals.where(ends, _EMPTY)[:, :count], parents[:, :count], length)
        # The places of the first tokens other than end.
        places = ends.byte().argsort(dim=1, stable=True)[:, :count]
        totals, parents = totals.where(~ends, _EMPTY).gather(1, places), parents.gather(1, places)
        history = self.live.take(parents).tokens
        history[:, :, length - 1] = tokens.gather(1, places)
        self.live = _Beams(history, totals, totals / self.divisors[length])
        return parents

    def _finish(
        self, totals: Float[Tensor, "B K"], parents: Int[Tensor, "B K"], length: int
    ) -> None:
        new = _Beams(self.live.take(parents).tokens, totals, totals / self.divisors[length])
        both = _Beams(*(torch.cat(pair, dim=1) for pair in zip(self.finished, new, strict=True)))
        order = both.scores.argsort(dim=1, descending=True, stable=True)
        self.finished = both.take(order[:, : self.num_beams])

    def done(self, length: int) -> Bool[Tensor, " B"]:
        """True where no live hypothesis can still become one of the num_results best.

        Its log-probability can only become lower, and the largest divisor is the last length's.
        """
        if length == len(self.divisors) - 1:
            return torch.ones_like(self.sources, dtype=torch.bool)
        if self.num_beams == 1:
            return self.finished.scores[:, 0] > _EMPTY
        best = self.live.log_probabilities[:, 0] / self.divisors[-1]
        return best <= self.finished.scores[:, self.num_results - 1]

    def pop(
        self, done: Bool[Tensor, " B"], kept: Int[Tensor, " _"]
    ) -> list[tuple[int, list[Hypothesis]]]:
        """Removes the sources that are done; returns them with their best hypotheses."""
        found = [
            (source, (finished + live)[: self.num_results])  # live ones matter at the last length:
            for source, finished, live in zip(  # before that, finished ones fill all places
                self.sources[done].tolist(),
                self._hypotheses(self.finished, done, True),
                self._hypotheses(self.live, done, False),
                strict=True,
            )
        ]
        self.sources = self.sources[kept]
        self.live = _Beams(*(part[kept] for part in self.live))
        self.finished = _Beams(*(part[kept] for part in self.finished))
        return found

    def _hypotheses(
        self, beams: _Beams, chosen: Bool[Tensor, " B"], finished: bool
    ) -> list[list[Hypothesis]]:
        return [
            [
                Hypothesis(row[: row.index(self.end)] if finished else row, total, finished, score)
                for row, total, score in zip(*source, strict=True)
                if total > _EMPTY
            ]
            for source in zip(*(part[chosen].tolist() for part in beams), strict=True)
        ]


def _in_place(done: Bool[Tensor, " B"]) -> Int[Tensor, " _"]:
    """The sources that are not done. The last of them fill the gaps, so that few rows move."""
    left = ~done
    kept = torch.arange(int(left.sum()), device=done.device)
    kept[done[: len(kept)]] = left[len(kept) :].nonzero().squeeze(1) + len(kept)
    return kept


def _check(
    num_beams: int, num_results: int | None, max_new_tokens: int, length_penalty: float
) -> None:
    if num_beams < 1:
        raise ValueError(f"num_beams must be at least 1, got {num_beams}")
    if num_results is not None and not 1 <= num_results <= num_beams:
        raise ValueError(
            "num_results must be between 1 and num_beams, "
            f"got num_results={num_results} and num_beams={num_beams}"
        )
    if max_new_tokens < 1:
        raise ValueError(f"max_new_tokens must be at least 1, got {max_new_tokens}")
    if not 0 <= length_penalty < math.inf:
        raise ValueError(f"length_penalty must be at least 0 and finite, got {length_penalty}")


def _searched(
    model: TargetModel, search: _Search, begin: int, never: Int[Tensor, " _"]
) -> list[list[Hypothesis]]:
    """The hypotheses of each source, after as many steps as the search needs."""
    num_sources, num_beams = len(search.sources), search.num_beams
    found: list[list[Hypothesis]] = [[]] * num_sources
    cache = model.make_cache(num_sources * num_beams)
    tokens = torch.full((num_sources * num_beams, 1), begin, device=never.device)
    for length in range(1, len(search.divisors)):
        logits = model(tokens, cache=cache)[:, -1]
        parents = search.step(*_ranked(logits, never, num_beams), length)
        done = search.done(length)
        kept = _in_place(done)
        for source, best in search.pop(done, kept):
            found[source] = best
        if not len(search.sources):
            break
        cache.select((kept[:, None] * num_beams + parents[kept]).flatten())
        tokens = search.live.tokens[:, :, length - 1].reshape(-1, 1)
    return found


@torch.inference_mode()
def beam_search(
    model: TargetModel,
    num_sources: int,
    *,
    begin: int,
    end: int,
    max_new_tokens: int,
    num_beams: int = 1,
    num_results: int | None = None,
    length_penalty: float = Search.length_penalty,
    forbidden: Collection[int] = (),
    device: torch.device | str = "cpu",
) -> list[list[Hypothesis]]:
    """Up to `num_results` hypotheses for each source, the best first; None means num_beams.

    Score: log-probability / ((5 + length) / 6)^length_penalty, Wu et al. 2016 (arXiv:1609.08144),
    eq. 14 without coverage; the length includes the end. 0.6 is from Vaswani et al. 2017
    (arXiv:1706.03762), 6.1. Each step keeps the num_beams likeliest continuations without an end.
    An end finishes a hypothesis if it is among the num_beams likeliest of all continuations. A
    source is done when no live hypothesis can still become one of its num_results best. One beam is
    greedy decoding, and is done at its first end.

    A hypothesis of `max_new_tokens` tokens without an end is not finished. It comes after all
    finished ones, whatever its score, because the score lacks the probability of an end. The
    probabilities of `forbidden` tokens are not given to other tokens. Of equally likely tokens, the
    lowest id comes first.

    Raises: ValueError for settings out of range; NotFiniteError.
    """
    _check(num_beams, num_results, max_new_tokens, length_penalty)
    if end in forbidden:
        raise ValueError(f"end={end} must not be among the forbidden tokens")
    if num_sources == 0:
        return []
    divisors = [((5 + length) / 6) ** length_penalty for length in range(max_new_tokens + 1)]
    search = _Search((num_sources, num_beams, num_results or num_beams), end, divisors, device)
    never = torch.tensor(sorted(forbidden), dtype=torch.long, device=device)
    return _searched(model, search, begin, never)
