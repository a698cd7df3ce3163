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


def test_targets_scores_and_reading_are_those_of_python(job, make_encoder_decoder):
    models = [make_encoder_decoder(**options) for options in OPTIONS]
    asked = [(m, source, beams) for m in models for source in SOURCES for beams in BEAMS]
    numbers = {id(model): job.add_model(model) for model in models}
    for model, source, beams in asked:
        text = " ".join(map(str, source))
        job.call(numbers[id(model)], "translate", {"text": text, "num_beams": beams})
    finished = set()
    for (model, source, beams), result in zip(asked, job.run(), strict=True):
        found = result["result"]
        best, *others = searched(model, source, beams)
        targets = [*best.tokens, END] if best.finished else best.tokens
        assert found["ids"] == targets
        assert found["text"] == " ".join(map(str, best.tokens))
        assert found["units"][-1] == ("end" if best.finished else str(targets[-1]))
        assert found["score"] == pytest.approx(best.score, abs=BOUND)
        assert [one["text"] for one in found["others"]] == [
            " ".join(map(str, one.tokens)) for one in others
        ]
        assert [one["score"] for one in found["others"]] == pytest.approx(
            [one.score for one in others], abs=BOUND
        )
        assert_read_as_in_python(found, model, source, targets)
        finished.add(best.finished)
    assert finished == {True, False}  # both ends of a search are compared


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
