"""The page's engine beside PyTorch: logits, greedy texts and windows of any GPT."""

import random
from dataclasses import fields
from itertools import combinations

import pytest
import torch

from tests.conftest import draw_weights
from tests.pages.node import needs_node
from transformer.models import build_model
from transformer.models.families.registry import FAMILIES
from transformer.storage.int8_rows import dequantized, quantized
from transformer.storage.metadata import distinct_tensors

pytestmark = [pytest.mark.parity, needs_node]
V, T, C, H = 13, 11, 36, 6
SHAPE = {"vocab_size": V, "block_size": T, "embedding_dim": C, "num_heads": H, "num_blocks": 2}
PROMPT = [1, 7, 2, 11, 12, 3, 5]
BOUND = 1e-4  # of the spread of the logits; both programs round to float32 at each layer

POSITIONS = {
    "learned": {"positions": "learned"},
    "sinusoidal": {"positions": "sinusoidal"},
    "without gain": {"positions": "sinusoidal", "position_gain": False},
    "rotary": {"positions": "rotary", "rotary_base": 100.0},
    "scaled": {"positions": "rotary", "rotary_scaling": [8.0, 1.0, 4.0, 16.0]},
    "none": {"positions": "none"},
}
NGRAMS = {
    "none": {},
    "own rows": {"ngram_size": 2},
    "hashed": {"ngram_size": 3, "ngram_buckets": 200},  # room for the bigrams, not for trigrams
    "five": {"ngram_size": 5, "ngram_buckets": 97},
    "grown": {"ngram_size": 3, "ngram_vocab_size": 7, "head_bias": True},
}
OPTIONS = {
    "positions": list(POSITIONS),
    "ngrams": list(NGRAMS),
    "activation": ["gelu", "gelu_tanh", "relu", "relu2", "swiglu"],
    "num_kv_heads": [1, 2, 6],
    "head_dim": [6, 10],
    "feedforward_dim": [None, 17],
    "norm": ["layernorm", "rmsnorm"],
    "norm_eps": [1e-5, 0.1],
    "norm_first": [True, False],
    "qk_norm": [True, False],
    "bias": [True, False],
    "tie_weights": [True, False],
    "token_shift": [True, False],
}


def make_model(**options):
    """A GPT with drawn weights; `positions` and `ngrams` are names of the tables above."""
    chosen = dict(options)
    chosen |= POSITIONS[chosen.get("positions", "learned")] | NGRAMS[chosen.pop("ngrams", "none")]
    model = build_model("gpt", **SHAPE | chosen)
    draw_weights(model)
    return model.eval()


def covering_array(seed=0):
    """Rows in which each pair of values of two options is at least once."""
    drawn = random.Random(seed)

    def pairs(row):
        return set(combinations(row.items(), 2))

    missing = {
        ((a, x), (b, y))
        for a, b in combinations(OPTIONS, 2)
        for x in OPTIONS[a]
        for y in OPTIONS[b]
    }
    rows = []
    while missing:
        tries = [{name: drawn.choice(OPTIONS[name]) for name in OPTIONS} for _ in range(50)]
        (a, x), (b, y) = sorted(missing, key=str)[0]
        tries = [row | {a: x, b: y} for row in tries]
        rows.append(max(tries, key=lambda row: len(missing & pairs(row))))
        missing -= pairs(rows[-1])
    return rows


@torch.inference_mode()
def assert_same_logits(result, model, tokens):
    assert "error" not in result, result["error"]
    expected = model(torch.tensor([tokens]))[0]
    found = torch.tensor(result["result"]).view_as(expected)
    assert (found - expected).abs().max() <= BOUND * expected.std()


def greedy(model, prompt, count):
    tokens = model.generate(torch.tensor([prompt]), max_new_tokens=count, temperature=0.0)
    return tokens[0, len(prompt) :].tolist()


def compare(job, rows, count):
    """Logits and greedy texts of models with these options; the texts slide past block_size."""
    models = [make_model(**row) for row in rows]
    writing = {"ids": PROMPT, "count": count, "sampling": {"temperature": 0}}
    for model in models:
        number = job.add_model(model)
        job.call(number, "logits", PROMPT)
        job.call(number, "write", writing)
    results = job.run()
    for model, logits, written in zip(models, results[::2], results[1::2], strict=True):
        assert_same_logits(logits, model, PROMPT)
        assert written["result"]["ids"] == greedy(model, PROMPT, count)


def test_logits_and_greedy_texts_are_those_of_python(job):
    rows = [
        {"positions": "rotary", "norm": "rmsnorm", "activation": "swiglu", "qk_norm": True},
        {"positions": "scaled", "ngrams": "five", "token_shift": True, "num_kv_heads": 2},
        {"positions": "sinusoidal", "ngrams": "grown", "activation": "gelu", "head_dim": 10},
        {"positions": "none", "norm_first": False, "activation": "gelu_tanh", "bias": False},
        {"ngrams": "hashed", "activation": "relu2", "tie_weights": False, "norm_eps": 0.1},
    ]
    compare(job, rows, 40)


@pytest.mark.slow
def test_every_pair_of_options_gives_the_logits_and_200_greedy_tokens_of_python(job):
    rows = covering_array()
    assert len(rows) >= 20
    compare(job, rows, 200)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["simd", "plain"])
def test_sizes_that_fill_no_tile_give_the_logits_of_python(job, kind):
    """4 rows and 8 outputs are multiplied at once; with SIMD, 32 rows stand in the memory."""
    job.evaluate(f"productKind = '{kind}'")
    sizes = [(1, 1, 3), (4, 8, 32), (33, 9, 5), (40, 64, 70)]
    models = []
    for length, vocab_size, width in sizes:
        shape = {"block_size": length, "vocab_size": vocab_size, "embedding_dim": width}
        models.append(make_model(**shape, num_heads=1, num_kv_heads=1, head_dim=width))
    texts = [[i % size for i in range(length)] for length, size, _ in sizes]
    for model, text in zip(models, texts, strict=True):
        job.call(job.add_model(model), "logits", text)
    for model, text, result in zip(models, texts, job.run()[1:], strict=True):
        expected = model(torch.tensor([text]))[0].detach()
        found = torch.tensor(result["result"]).view_as(expected)
        assert (found - expected).abs().max() <= BOUND * expected.abs().max()


def test_int8_weights_are_read_as_python_reads_them(job):
    model = make_model(ngrams="hashed", positions="learned", tie_weights=True)
    rounded = make_model(ngrams="hashed", positions="learned", tie_weights=True)
    stored = quantized(distinct_tensors(model.state_dict()))
    rounded.load_state_dict(dequantized(stored), strict=False)
    job.call(job.add_model(model, int8=True), "logits", PROMPT)
    (result,) = job.run()
    assert_same_logits(result, rounded, PROMPT)
    with torch.inference_mode():
        change = rounded(torch.tensor([PROMPT])) - model(torch.tensor([PROMPT]))
    assert change.abs().max() > BOUND  # so that the two can be told apart


def test_a_bigram_is_a_table(job):
    model = build_model("bigram", vocab_size=V, block_size=T)
    draw_weights(model)
    number = job.add_model(model.eval())
    job.call(number, "logits", PROMPT)
    job.call(number, "explain", PROMPT)
    logits, explained = job.run()
    assert_same_logits(logits, model, PROMPT)
    assert explained["result"]["heads"] == explained["result"]["lens"] == []
    assert len(explained["result"]["surprises"]) == len(PROMPT)


@pytest.mark.parametrize("kind", ["gpt", "encoder_decoder", "bigram"])
def test_the_engine_knows_every_setting_of_a_family(job, kind):
    job.evaluate(f"KEYS.{kind}")
    (keys,) = job.run()
    assert set(keys["result"]) == {"model", *(f.name for f in fields(FAMILIES[kind]))}


def test_what_is_not_known_is_refused_by_name(job):
    model = make_model()
    changes = [{"memory_size": 3}, {"norm": "batchnorm"}, {"model": "mamba"}]
    for change in changes:
        number = job.add_model(model)
        job.models[number]["architecture"] = model.architecture | change
        job.call(number, "logits", PROMPT)
    number = job.add_model(model)
    job.models[number]["tensors"]["rows"].pop(0)
    job.call(number, "logits", PROMPT)
    errors = [result["error"] for result in job.run()]
    assert "memory_size" in errors[0]
    assert errors[1] == "norm must be one of layernorm, rmsnorm, got batchnorm"
    assert errors[2] == "model must be one of gpt, encoder_decoder, bigram, got mamba"
    assert errors[3] == "the file has no tensor token_embedding.weight"


def test_a_model_of_an_older_file_has_the_values_that_it_had(job):
    model = make_model(positions="without gain")
    number = job.add_model(model)
    for key in ("position_gain", "head_bias", "ngram_vocab_size", "rotary_base", "rotary_scaling"):
        del job.models[number]["architecture"][key]
    job.call(number, "logits", PROMPT)
    (result,) = job.run()
    assert_same_logits(result, model, PROMPT)
