"""The tokenizer.json of each tokenizer: the library finds the same ids, and it is read again."""

import json

import pytest
import tokenizers
from hypothesis import given, settings

from tests.command_line.conftest import TEXT
from tests.data.tokenizers.hostile import PIECES, TEXTS
from transformer.data.tokenizers.bpe import BpeTokenizer
from transformer.data.tokenizers.bytes import ByteTokenizer
from transformer.data.tokenizers.characters import CharacterTokenizer
from transformer.data.tokenizers.registry import tokenizer_from_spec
from transformer.system.errors import UserError

ALL = {
    "bpe": BpeTokenizer.from_text(TEXT + "漢字 🙂" * 5, vocab_size=300),
    "bytes": ByteTokenizer(),
    "characters": CharacterTokenizer.from_text(TEXT + "".join(PIECES)),
}
each = pytest.mark.parametrize("name", ALL)


def library(tokenizer):
    made = tokenizers.Tokenizer.from_str(json.dumps(tokenizer.spec))
    made.encode_special_tokens = True
    return made


@each
def test_the_library_writes_a_spec_as_it_stands(name):
    assert json.loads(library(ALL[name]).to_str()) == ALL[name].spec


@each
@settings(max_examples=200)
@given(text=TEXTS)
def test_the_library_gives_the_same_ids_and_text_and_leaves_out_unknown_characters(name, text):
    ours, theirs = ALL[name], library(ALL[name])
    known, _ = ours.encode_known(text)
    ids = theirs.encode(text, add_special_tokens=False).ids
    assert ids == known.tolist()
    assert theirs.decode(ids) == ours.decode(known)


@each
def test_a_spec_is_read_as_the_tokenizer_that_wrote_it(name):
    again = tokenizer_from_spec(json.loads(json.dumps(ALL[name].spec)))
    assert type(again) is type(ALL[name])
    assert again.state == ALL[name].state


@pytest.mark.parametrize("change", ["vocab", "merges", "decoder", "pre_tokenizer"])
def test_characters_with_anything_else_are_not_taken_for_ours(change):
    spec = json.loads(json.dumps(CharacterTokenizer("abc").spec))
    if change == "vocab":
        spec["model"]["vocab"]["c"] = 3  # a gap
    elif change == "merges":
        spec["model"]["merges"] = [["a", "b"]]
    else:
        spec[change] = {"type": "ByteLevel"}
    with pytest.raises(ValueError, match="BPE is not byte-level"):
        tokenizer_from_spec(spec)


def test_half_a_character_cannot_be_written():
    with pytest.raises(UserError, match=r"has '\\udc80', half of a character"):
        _ = CharacterTokenizer("a\udc80").spec
