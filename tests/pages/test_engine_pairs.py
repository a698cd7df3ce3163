"""The page's encoder-decoder beside PyTorch: greedy decoding, beam search, cross-attention."""

import math

import pytest
import torch

from tests.pages.node import needs_node
from transformer.decoding.beam_search import beam_search
from transformer.special_ids import BEGIN, END, PADDING

pytestmark = [pytest.mark.parity, needs_node]
OPTIONS = [
    {},  # post-norm, sinusoids
    {"positions": "learned", "norm_first": True, "ngram_size": 3, "ngram_buckets": 50},
    {"positions": "rotary", "num_kv_heads": 1, "qk_norm": True, "norm": "rmsnorm", "bias": False},
    {"positions": "none", "tie_weights": False, "activation": "swiglu", "head_dim": 14},
    {"shared_vocabulary": True, "source_vocab_size": 13, "ctc_weight": 0.3, "activation": "gelu"},
]
SOURCES = [[3, 7, 12, 4], [5, 6, 7, 8, 9, 10, 11]]
BEAMS = [1, 4]
BOUND = 1e-4


@torch.inference_mode()
def searched(model, source, num_beams):
    given = model.given(torch.tensor([source]), model.block_size + 1)
    (found,) = beam_search(
        given,
        1,
        begin=BEGIN,
        end=END,
        forbidden=(PADDING, BEGIN),
        max_new_tokens=model.block_size + 1,
        num_beams=num_beams,
    )
    return found


@torch.inference_mode()
def assert_read_as_in_python(result, model, source, targets):
    """Surprises, alternatives and cross-attention of the targets, their end included."""
    sources, tokens = torch.tensor([source]), torch.tensor([[BEGIN, *targets[:-1]]])
    expected = model(sources, tokens)[0].double().log_softmax(dim=1)
    surprises = -expected.gather(1, torch.tensor(targets)[:, None]).squeeze(1) / math.log(2)
    assert result["surprises"] == pytest.approx(surprises.tolist(), abs=BOUND)
    expected[:, [PADDING, BEGIN]] = -math.inf
    for row, places in zip(expected, result["alternatives"], strict=True):
        shares, ids = row.exp().topk(5)
        assert [id_ for id_, _, _ in places] == ids.tolist()
        assert [p for _, _, p in places] == pytest.approx(shares.tolist(), abs=BOUND)
    weights = model.cross_attention_weights(sources, tokens)[:, 0]  # (N, H, T, S)
    found = torch.tensor(result["attention"]).view_as(weights)
    assert (found - weights).abs().max() < BOUND
    entropy = -(weights * weights.clamp(min=1e-30).log2()).sum(dim=-1).mean(dim=-1)
    assert (torch.tensor(result["entropy"]) - entropy).abs().max() < BOUND


def translated(job, models, sources, beams):
    """Yields model, source, what the engine found and what Python found."""
    asked = [(model, source, count) for model in models for source in sources for count in beams]
    numbers = {id(model): job.add_model(model) for model in models}
    for model, source, count in asked:
        text = " ".join(map(str, source))
        job.call(numbers[id(model)], "translate", {"text": text, "num_beams": count})
    for (model, source, count), result in zip(asked, job.run(), strict=True):
        yield model, source, result["result"], searched(model, source, count)


def assert_same_hypotheses(result, found):
    texts = [" ".join(map(str, one.tokens)) for one in found]
    ours = [result, *result["others"]]
    assert [one["text"] for one in ours] == texts
    assert [one["finished"] for one in ours] == [one.finished for one in found]
    scores = [one.score for one in found]
    assert [one["score"] for one in ours] == pytest.approx(scores, abs=BOUND)


def test_targets_scores_and_reading_are_those_of_python(job, make_encoder_decoder):
    models = [make_encoder_decoder(**options) for options in OPTIONS]
    finished = set()
    for model, source, result, found in translated(job, models, SOURCES, BEAMS):
        assert_same_hypotheses(result, found)
        best = found[0]
        targets = [*best.tokens, END] if best.finished else best.tokens
        assert result["ids"] == targets
        assert result["units"][-1] == ("end" if best.finished else str(targets[-1]))
        assert_read_as_in_python(result, model, source, targets)
        finished.add(best.finished)
    assert finished == {True, False}  # both ends of a search are compared


class Table:
    """Logits by the number of tokens so far and the last one, the same for any source."""

    def __init__(self, logits):
        self.logits = logits  # (L, V, V)

    def make_cache(self, num_rows):
        return Length()

    def __call__(self, tokens, *, cache):
        cache.value += 1
        return self.logits[cache.value - 1, tokens[:, 0]][:, None]


class Length:
    value = 0

    def select(self, rows): ...


def late_winner():
    """Two hypotheses end early; one that is sure of a long way overtakes the second of them."""
    shares = torch.full((7, 6, 6), 1e-6)
    shares[0, BEGIN, [END, 3, 4]] = torch.tensor([0.4, 0.35, 0.25])
    shares[1, 3, [END, 5]] = torch.tensor([0.9, 0.1])
    shares[1:6, :, 5] = shares[1:6, :, 5].clamp(min=0.05)
    shares[1, 4, 5] = shares[2:6, 5, 5] = shares[6, 5, END] = 0.99
    return (shares / shares.sum(dim=2, keepdim=True)).log()


def test_searches_end_as_in_python_at_any_length(job, generator):
    drawn = torch.randn(39, 7, 6, 6, generator=generator) * 2
    for number, logits in enumerate(drawn):
        logits[: number % 7, :, END] -= 4  # ends become likely at different lengths
    cases = [(logits, 1 + number % 4) for number, logits in enumerate(drawn)]
    cases.append((late_winner(), 2))
    for logits, num_beams in cases:
        job.evaluate(
            f"""(() => {{
              const table = {logits.tolist()};
              const decode = ([id], {{ tokens }}) => {{
                tokens.push(id);
                return Float32Array.from(table[tokens.length - 1][id]);
              }};
              const model = {{ newState: () => ({{ tokens: [], blocks: [] }}), decode }};
              return beamSearch(model, null, {{ numBeams: {num_beams}, most: 7 }});
            }})()"""
        )
    settings = {"begin": BEGIN, "end": END, "forbidden": (PADDING, BEGIN), "max_new_tokens": 7}
    for (logits, num_beams), result in zip(cases, job.run(), strict=True):
        (found,) = beam_search(Table(logits), 1, num_beams=num_beams, **settings)
        ours = [(one["tokens"], one["finished"]) for one in result["result"]]
        assert ours == [(one.tokens, one.finished) for one in found]
        scores = [one["score"] for one in result["result"]]
        assert scores == pytest.approx([one.score for one in found], abs=BOUND)


def test_sources_that_cannot_be_read_are_refused(job, make_encoder_decoder, make_gpt):
    pair, text = job.add_model(make_encoder_decoder()), job.add_model(make_gpt())
    job.call(pair, "translate", {"text": " ".join("3" * 8)})
    job.call(pair, "translate", {"text": "3", "num_beams": 0})
    job.call(pair, "explain", [3, 4])
    job.call(text, "translate", {"text": "3"})
    assert [result["error"] for result in job.run()] == [
        "the source has 8 units, but the model reads at most 7: give a shorter source",
        "num_beams must be at least 1, got 0",
        "the model has a source and a target: use translate",
        "the model reads no source",
    ]
