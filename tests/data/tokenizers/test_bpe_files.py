"""A tokenizer of byte pairs from elsewhere: it gives its own ids, or says what is wrong with it."""

import copy

import pytest
from hypothesis import given

from tests.command_line.conftest import TEXT
from tests.data.tokenizers.hostile import TEXTS
from transformer.data.tokenizers import bpe, splitting
from transformer.data.tokenizers.bpe import BpeTokenizer
from transformer.data.tokenizers.hugging_face import LETTERS


def changed(pairs, **changes):
    spec = copy.deepcopy(pairs.spec)
    for path, value in changes.items():
        *outer, last = path.split("__")
        at = spec
        for name in outer:
            at = at[name]
        at[last] = value
    return spec


def without(pairs, piece):
    vocabulary = dict(pairs.spec["model"]["vocab"])
    del vocabulary[piece]
    return changed(pairs, model__vocab=vocabulary, model__merges=[])


FAULTS = {
    "it has no model": lambda p: {"model": 5},
    "of the kind WordPiece, and only BPE": lambda p: changed(p, model__type="WordPiece"),
    "of the kind Unigram": lambda p: changed(p, model__type="Unigram"),
    "not byte-level": lambda p: changed(p, pre_tokenizer=None),
    "is not byte-level .no ByteLevel without add_prefix_space": lambda p: changed(
        p, pre_tokenizer={"type": "ByteLevel", "add_prefix_space": True, "use_regex": True}
    ),
    "its model has dropout": lambda p: changed(p, model__dropout=0.1),
    "its model has byte_fallback": lambda p: changed(p, model__byte_fallback=True),
    r"its normalizer \(NFKC\) would change a text": lambda p: changed(
        p, normalizer={"type": "NFKC"}
    ),
    "400 ids have a gap: no piece has the id 300": lambda p: changed(
        p, model__vocab=p.spec["model"]["vocab"] | {piece_of(p, 300): 1000}
    ),
    "an id is not a whole number": lambda p: changed(
        p, model__vocab=p.spec["model"]["vocab"] | {piece_of(p, 300): "x"}
    ),
    "have a gap": lambda p: without(p, piece_of(p, 90)),
    "added_tokens are damaged": lambda p: changed(p, added_tokens=[{"content": "a"}]),
    "takes spaces beside it": lambda p: changed(
        p, added_tokens=[added("<x>", 400, special=False, lstrip=True)]
    ),
}


def piece_of(pairs, id_):
    return next(name for name, number in pairs.spec["model"]["vocab"].items() if number == id_)


def added(content, id_, **changes):
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": id_, "content": content, "special": True, **flags, **changes}


@pytest.mark.parametrize("reason", FAULTS)
def test_a_file_of_another_kind_or_with_damage_says_what_is_wrong(pairs, reason):
    with pytest.raises(ValueError, match=reason):
        BpeTokenizer(FAULTS[reason](pairs))


def test_a_file_without_one_of_the_bytes_is_refused(pairs):
    names = [name for name in pairs.spec["model"]["vocab"] if name not in ("a", "<|endoftext|>")]
    vocabulary = {name: number for number, name in enumerate(names)}
    spec = changed(pairs, model__vocab=vocabulary, model__merges=[], added_tokens=[])
    with pytest.raises(ValueError, match="1 of the 256 bytes have no piece, 'a' first"):
        BpeTokenizer(spec)


def test_a_file_that_loses_text_is_refused(pairs):
    steps = [PRE_REMOVES, pairs.spec["pre_tokenizer"]["pretokenizers"][1]]
    spec = changed(pairs, pre_tokenizer__pretokenizers=steps)
    with pytest.raises(ValueError, match="does not give a text back as it was"):
        BpeTokenizer(spec)


PRE_REMOVES = {
    "type": "Split",
    "pattern": {"String": " "},
    "behavior": "Removed",
    "invert": False,
}


def gpt2_like(pairs, **changes):
    """A file as GPT-2's: its own way to cut words, the special token at the end."""
    names = [name for name in pairs.spec["model"]["vocab"] if name != "<|endoftext|>"]
    vocabulary = {name: number for number, name in enumerate(names)}
    end = added("<|endoftext|>", len(names))
    words = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": True,
    }
    return changed(
        pairs, model__vocab=vocabulary, pre_tokenizer=words, added_tokens=[end], **changes
    )


@given(text=TEXTS)
def test_a_file_with_other_words_gives_the_librarys_ids_too(pairs, text):
    other = gpt2(pairs)
    assert other.split == "custom"
    assert other.end_of_text == other.vocab_size - 1
    ids = other.encode(text)
    assert ids.tolist() == other.library.encode(text, add_special_tokens=False).ids
    assert other.decode(ids) == text


_MADE = []


def gpt2(pairs):
    if not _MADE:
        _MADE.append(BpeTokenizer(gpt2_like(pairs)))
    return _MADE[0]


def test_a_long_text_is_cut_where_other_words_end_too(pairs, monkeypatch):
    monkeypatch.setattr(bpe, "blocks", lambda text: splitting.blocks(text, 50))
    other = gpt2(pairs)
    assert len(list(splitting.blocks(TEXT, 50))) > 20
    ids = other.encode(TEXT * 2)
    assert ids.tolist() == other.library.encode(TEXT * 2, add_special_tokens=False).ids


def test_an_added_token_that_is_not_special_is_found_in_a_text(pairs):
    spec = gpt2_like(pairs)
    spec["added_tokens"].append(added("  ", len(spec["model"]["vocab"]) + 1, special=False))
    made = BpeTokenizer(spec)
    ids = made.encode("a  b")
    assert made.vocab_size - 1 in ids
    assert made.decode(ids) == "a  b"


def test_the_letters_of_bytes_are_the_librarys():
    from tokenizers import pre_tokenizers

    assert sorted(LETTERS) == sorted(pre_tokenizers.ByteLevel.alphabet())
    assert sorted(LETTERS.values()) == list(range(256))
