"""Which of two sentences a model prefers, beside sums worked out token by token."""

import json
import math
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from transformer.data.tokenizers.bytes import ByteTokenizer
from transformer.data.tokenizers.characters import CharacterTokenizer
from transformer.evaluation.error_rates import wilson_interval
from transformer.evaluation.minimal_pairs.preferences import TIE, preferences
from transformer.evaluation.minimal_pairs.reading import encode_pairs, read_minimal_pairs
from transformer.evaluation.minimal_pairs.report import as_table, begin_of, report_on_minimal_pairs
from transformer.evaluation.minimal_pairs.scoring import score_with_bigram, score_with_model
from transformer.evaluation.options import EvaluateOptions
from transformer.evaluation.text import BigramCounts
from transformer.models.bigram import Bigram
from transformer.storage.saved_model import SavedModel
from transformer.system.errors import UserError

pytestmark = pytest.mark.parity
V, BLOCK_SIZE = 13, 7
SAME = 1e-10  # the same mathematics in float64
LENGTHS = (1, 2, 3, 5, 6, 7, 8, 9, 12, 13, 19, 31)


def drawn(lengths, generator):
    return [torch.randint(V, (length,), generator=generator).numpy() for length in lengths]


@torch.no_grad()
def naive_sum(model, tokens, first_scored, size=BLOCK_SIZE):
    """One pass a token, over the window that the decoding loop would have there."""
    window, total = [int(tokens[0])], 0.0
    for place, token in enumerate(tokens[1:].tolist(), start=1):
        predicted = model(torch.tensor([window]))[0, -1].log_softmax(dim=-1)
        total += predicted[token].item() if place >= first_scored else 0.0
        window = [*(window[size - size // 2 :] if len(window) == size else window), token]
    return total


@pytest.mark.parametrize("first_scored", [1, 2])
@pytest.mark.parametrize("most", [1, 9, 1024])
def test_sums_are_those_of_a_loop_token_by_token(
    float64, make_gpt, generator, monkeypatch, most, first_scored
):
    """Sentences up to four windows long, in batches of any size."""
    monkeypatch.setattr("transformer.data.text.batches.SCORED_ON_CPU", most)
    model = make_gpt()
    sentences = drawn(LENGTHS, generator)
    found = score_with_model(model, sentences, first_scored, BLOCK_SIZE)
    expected = [naive_sum(model, tokens, first_scored) for tokens in sentences]
    assert found == pytest.approx(expected, abs=SAME)
    assert min(expected) < -20  # or closeness would say little


def test_equal_sentences_have_equal_sums_to_the_last_bit(make_gpt, generator):
    """Whatever stands beside them in a batch: in float32 that changes a sum."""
    sentences = drawn(LENGTHS, generator)
    found = score_with_model(make_gpt(), [*sentences, *sentences[::-1]], 1, BLOCK_SIZE)
    assert (found[: len(LENGTHS)] == found[len(LENGTHS) :][::-1]).all()


def test_a_bigram_scores_by_counts_plus_one(generator):
    (train,), sentences = drawn([97], generator), drawn([2, 5, 11], generator)
    counts = Counter(pairwise(train.tolist()))
    before = Counter(train[:-1].tolist())
    for first_scored in (1, 2):
        found = score_with_bigram(BigramCounts(train, V), sentences, first_scored)
        expected = [
            sum(
                math.log((counts[pair] + 1) / (before[pair[0]] + V))
                for pair in list(pairwise(tokens.tolist()))[first_scored - 1 :]
            )
            for tokens in sentences
        ]
        assert found == pytest.approx(expected, abs=SAME)


def test_a_tie_counts_half_and_is_listed():
    sums = np.array([[-3.0, -4.0], [-4.0, -3.0], [-2.0, -2.0], [-5.0, -5.0 - 0.9 * TIE]])
    tokens = np.array([[3, 2], [3, 1], [2, 2], [5, 5]])
    found = preferences(sums, tokens, ["a", "b", "a", "b"])
    assert found["sum"]["all"] == {
        "pairs": 4,
        "accuracy": 2 / 4,
        "interval": wilson_interval(2, 4),
        "ties": 2,
    }
    assert found["ties"] == {"sum": [2, 3], "mean": [2, 3]}
    by_sum = {name: one["accuracy"] for name, one in found["sum"]["phenomena"].items()}
    assert by_sum == {"a": 1.5 / 2, "b": 0.5 / 2}


def test_the_mean_may_prefer_the_other_sentence():
    """-4 over 4 tokens is better a token than -3 over 2."""
    found = preferences(np.array([[-4.0, -3.0]]), np.array([[4, 2]]), [""])
    assert found["sum"]["all"]["accuracy"] == 0
    assert found["mean"]["all"]["accuracy"] == 1
    assert found["sum"]["phenomena"] == {}


def saved_bigram(tokenizer, corpus, weight=None):
    model = Bigram(vocab_size=tokenizer.vocab_size, block_size=BLOCK_SIZE).eval()
    if weight is not None:
        model.next_token.weight.data = weight
    return SavedModel(Path("model"), model, tokenizer, model.architecture, {}, corpus, {})


@pytest.mark.parametrize(
    ("tokenizer", "corpus", "begin"),
    [
        (CharacterTokenizer("\nab"), {"sha256": "1"}, [0]),
        (CharacterTokenizer("ab"), {"sha256": "1"}, []),
        (ByteTokenizer(), {"sha256": "1"}, [10]),
        (ByteTokenizer(), {"sha256": "1", "num_documents": 3}, [256]),
        (ByteTokenizer(), {}, [256]),
    ],
    ids=["lines", "no line ends", "one text", "documents", "of another program"],
)
def test_sentences_begin_where_the_model_saw_sentences_begin(tokenizer, corpus, begin):
    assert begin_of(saved_bigram(tokenizer, corpus)) == begin


def test_a_planted_preference_is_found_pair_by_pair(tmp_path):
    """After a line end comes a, after a comes b: worked out by hand."""
    tokenizer = CharacterTokenizer("\nabc")
    weight = torch.zeros(4, 4)
    weight[0, 1] = weight[1, 2] = 5.0
    path = tmp_path / "pairs.tsv"
    path.write_text("ab\tba\tfirst\nab\tac\tsecond\nbc\tcb\tthird\ncab\tabc\tfirst\n", "utf-8")
    saved = saved_bigram(tokenizer, {"sha256": "1"}, weight)
    report = report_on_minimal_pairs(saved, EvaluateOptions(minimal_pairs=str(path)))
    likely, rest = 5 - math.log(math.exp(5) + 3), -math.log(math.exp(5) + 3)
    even = -math.log(4)
    expected = [
        [2 * likely, rest + even],
        [2 * likely, likely + rest],
        [rest + even, rest + even],
        [rest + even + likely, 2 * likely + even],
    ]
    found = [pair["log_probabilities"] for pair in report["each_pair"]]
    assert np.array(found) == pytest.approx(np.array(expected), abs=1e-5)
    score = report["scores"]["model"]
    assert score["sum"]["all"]["accuracy"] == 2.5 / 4
    assert {k: v["accuracy"] for k, v in score["sum"]["phenomena"].items()} == {
        "first": 0.5,
        "second": 1,
        "third": 0.5,
    }
    assert score["ties"]["sum"] == [3]
    table = as_table(report)
    assert "ties of the model by the sum: 1, in lines 3" in table
    assert "62.5" in table
    assert "bigram" not in report["scores"]
    assert "No bigram beside it" in table


def test_columns_and_lines_of_json_say_the_same(tmp_path):
    rows = [("a b", "b a", "one"), ("x", "y", "")]
    columns, lines = tmp_path / "pairs.tsv", tmp_path / "pairs.jsonl"
    columns.write_bytes("\ufeffa b\tb a\tone\r\nx\ty\r\n".encode())
    names = ("sentence_good", "sentence_bad", "UID")
    lines.write_text(
        "\n".join(json.dumps(dict(zip(names, row, strict=True)) | {"field": 1}) for row in rows),
        encoding="utf-8",
    )
    expected = [(number, *row) for number, row in enumerate(rows, 1)]
    assert read_minimal_pairs(str(columns)) == read_minimal_pairs(str(lines)) == expected
    unnamed = tmp_path / "pairs.txt"
    lines.rename(unnamed)
    assert read_minimal_pairs(str(unnamed)) == expected


GOOD = "a\tb\n"
BAD = [
    ("p.tsv", b"", "p.tsv: the file is empty"),
    ("p.tsv", b"\n\n", "p.tsv: the file is empty"),
    ("p.tsv", b"a\tb\nab\n", "p.tsv:2: has 1 column, but a pair has 2 or 3"),
    ("p.tsv", b"a\tb\tc\td\n", "p.tsv:1: has 4 columns, but a pair has 2 or 3"),
    ("p.tsv", b"a\tb\n\na\tb\n", "p.tsv:2: has 1 column"),
    ("p.tsv", b"a\tb\n \tb\n", "p.tsv:2: the acceptable sentence is empty"),
    ("p.tsv", b"a\tb\na\t\tname\n", "p.tsv:2: the unacceptable sentence is empty"),
    ("p.tsv", b"a\tb\na\t\xe9\n", r"p.tsv:2: not UTF-8 at byte 6 \(0xe9\): save the file"),
    ("p.jsonl", b'{"sentence_good": "a",\n', "p.jsonl:1: is not one JSON object"),
    ("p.jsonl", b"[1]\n", "p.jsonl:1: is not one JSON object"),
    ("p.tsv", b'{"sentence_good": "a"}\n', "p.tsv:1: has no text under 'sentence_bad'"),
    ("p.jsonl", b'{"sentence_good": 1, "sentence_bad": "a"}', "p.jsonl:1: has no text under"),
    ("p.jsonl", b'{"sentence_good": "", "sentence_bad": "a"}', "p.jsonl:1: the acceptable"),
    ("p.tsv", b"a\tb\nb\tax\n", r"p.tsv:2: the model never saw 'x' \(LATIN SMALL LETTER X\)"),
]


@pytest.mark.parametrize(("name", "content", "message"), BAD, ids=range(len(BAD)))
def test_a_bad_line_is_named_with_its_number(tmp_path, monkeypatch, name, content, message):
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(content)
    tokenizer = CharacterTokenizer("\nab")
    with pytest.raises(UserError, match=message):
        encode_pairs(name, read_minimal_pairs(name), tokenizer, skip_unknown=False)


def test_unknown_characters_are_dropped_and_counted_but_never_all_of_a_sentence(tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_text("axb\tbx\nxx\ta\n", encoding="utf-8")
    pairs = read_minimal_pairs(str(path))
    encoded, num_dropped = encode_pairs(
        str(path), pairs[:1], CharacterTokenizer("ab"), skip_unknown=True
    )
    assert [ids.tolist() for ids in encoded[0]] == [[0, 1], [1]]
    assert num_dropped == 2
    with pytest.raises(UserError, match=r"pairs.tsv:2: the model knows nothing of 'xx'"):
        encode_pairs(str(path), pairs, CharacterTokenizer("ab"), skip_unknown=True)
