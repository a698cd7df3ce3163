"""tokenizers.js finds the ids, pieces and texts that Python finds."""

import json
from functools import cache

import pytest

from tests.command_line.conftest import TEXT
from tests.pages.node import Job, needs_node
from transformer.data.tokenizers.bpe import BpeTokenizer
from transformer.data.tokenizers.bytes import ByteTokenizer
from transformer.data.tokenizers.characters import CharacterTokenizer
from transformer.data.tokenizers.hugging_face import BYTE_LEVEL, LLAMA3_WORDS
from transformer.data.tokenizers.pairs import PairTokenizer, PieceTokenizer, UnitTokenizer
from transformer.export.hostile_texts import hostile_texts
from transformer.pages.live.vocabulary import tokenizer_data
from transformer.system.errors import UserError

pytestmark = needs_node
FOREIGN = TEXT + "漢字 🙂 naïve 12 345\r\n'RE'ſ ٣½\u2028" * 4
LONE = ["\udc80", "a\udcffb", "\ud800", "é\udfff\udcc3", "\ufeffa\ufeff", "\x85\x1c"]


@cache
def learned_from_all():
    """Pieces of the hostile strings themselves: a word that is cut elsewhere shows in the ids."""
    texts = hostile_texts(ByteTokenizer(), 1000)
    return BpeTokenizer.from_text(2 * "".join(texts) + FOREIGN, vocab_size=2000)


def cut_as(*steps, **model):
    """The same pieces, with a text cut as other programs do."""
    spec = learned_from_all().spec
    pre_tokenizer = {"type": "Sequence", "pretokenizers": list(steps)}
    spec = {**spec, "pre_tokenizer": pre_tokenizer, "model": {**spec["model"], **model}}
    return BpeTokenizer(spec)


def llama3():
    split = {"Regex": LLAMA3_WORDS}
    step = {"type": "Split", "pattern": split, "behavior": "Isolated", "invert": False}
    return cut_as(step, BYTE_LEVEL, ignore_merges=True)


GPT2 = BYTE_LEVEL | {"use_regex": True}
DIGITS = {"type": "Digits", "individual_digits": True}
MAKERS = {
    "characters": lambda: CharacterTokenizer.from_text(FOREIGN),
    "bytes": ByteTokenizer,
    "bpe": learned_from_all,
    "llama-3": llama3,
    "gpt-2": lambda: cut_as(GPT2),
    "smollm": lambda: cut_as(DIGITS, GPT2),
    "nfc": lambda: BpeTokenizer(learned_from_all().spec | {"normalizer": {"type": "NFC"}}),
}


def computed(folder, tokenizer, texts, rows):
    """What the page makes of texts and of rows of ids."""
    job = Job(folder)
    given = json.dumps([tokenizer_data(tokenizer), texts, rows])
    job.evaluate(
        f"(([data, texts, rows]) => {{ const made = makeTokenizer(data);"
        "return [texts.map((text) => made.encode(text)), rows.map((row) => made.decode(row)),"
        f"made.pieces, made.endOfText]; }})({given})"
    )
    (found,) = job.run()
    assert "error" not in found, found
    return found["result"]


@pytest.mark.parametrize("name", MAKERS)
def test_ids_pieces_and_texts_of_hostile_strings_are_those_of_python(tmp_path, name):
    tokenizer = MAKERS[name]()
    texts = [*hostile_texts(tokenizer, 1000), *LONE]
    rows = [tokenizer.encode_known(text)[0].tolist() for text in texts]
    odd = [list(range(tokenizer.vocab_size))[::-1], [tokenizer.vocab_size - 1] * 3]
    encoded, decoded, pieces, end = computed(tmp_path, tokenizer, texts, [*rows, *odd])
    assert [one["ids"] for one in encoded] == rows
    printable = [text.encode("utf-8", "replace") for text in decoded]
    expected = [tokenizer.decode(row).encode("utf-8", "replace") for row in [*rows, *odd]]
    assert printable == expected
    assert pieces == list(tokenizer.pieces)
    assert end == tokenizer.end_of_text
    for row, one in zip(rows, encoded, strict=True):
        assert one["pieces"] == [tokenizer.pieces[id_] for id_ in row]


def test_unknown_characters_have_no_id_and_are_named_with_their_index(tmp_path):
    tokenizer = CharacterTokenizer("ab🙂")
    (one,), *_ = computed(tmp_path, tokenizer, ["a🙂b漢a😀é"], [])
    assert one["ids"] == [0, 2, 1, 0]
    unknown = [(row["character"], row["index"]) for row in one["unknown"]]
    assert unknown == [("漢", 4), ("😀", 6), ("é", 8)]  # as JavaScript counts: 🙂 is two


@pytest.mark.parametrize("units", ["characters", "words", "pieces"])
def test_each_side_of_pairs_is_encoded_as_in_python(tmp_path, units):
    if units == "pieces":
        side = PieceTokenizer(BpeTokenizer.from_text(FOREIGN, vocab_size=300))
    else:
        known = sorted(set(FOREIGN) if units == "characters" else set(FOREIGN.split()))
        side = UnitTokenizer(units, known)
    tokenizer = PairTokenizer(side, UnitTokenizer("characters", ["x", "y"]))
    texts = [
        *hostile_texts(CharacterTokenizer.from_text(FOREIGN), 300),
        "To be,\x1cor\x85not \ufeff",
    ]
    rows = [side.encode_known(text)[0].tolist() for text in texts]
    data = json.dumps([tokenizer_data(tokenizer), texts, rows])
    job = Job(tmp_path)
    job.evaluate(
        f"(([data, texts, rows]) => {{ const {{ source, target }} = makeTokenizer(data);"
        "return [texts.map((text) => source.encode(text).ids), rows.map((row) => "
        f"source.decode([1, ...row, 2, 0])), target.encode('yzx')]; }})({data})"
    )
    (found,) = job.run()
    ids, decoded, target = found["result"]
    assert ids == rows
    assert decoded == [side.decode(row) for row in rows]
    assert target["ids"] == [4, 3]
    assert target["unknown"] == [{"character": "z", "index": 1}]


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ({"type": "Digits", "individual_digits": False}, "by Digits False, which no page does"),
        ({"type": "Punctuation", "behavior": "Isolated"}, "by Punctuation"),
    ],
)
def test_an_unknown_way_of_cutting_words_is_refused_by_name(step, words):
    with pytest.raises(UserError, match=f"cannot go into a page: .*{words}"):
        tokenizer_data(cut_as(step, BYTE_LEVEL))


def test_tokens_that_are_found_before_a_text_is_cut_are_refused_by_name():
    spec = learned_from_all().spec
    token = {"id": 2000, "content": "<think>", "special": False, "normalized": False}
    switches = dict.fromkeys(("lstrip", "rstrip", "single_word"), False)
    made = BpeTokenizer({**spec, "added_tokens": [*spec["added_tokens"], token | switches]})
    with pytest.raises(UserError, match="cannot go into a page: it looks for '<think>'"):
        tokenizer_data(made)
