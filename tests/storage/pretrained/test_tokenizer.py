"""A folder's tokenizer gives the ids that transformers gives; special names stay text."""

import json
import random
import unicodedata

import pytest

from tests.command_line.conftest import TEXT
from tests.storage.pretrained.conftest import VOCAB_SIZE, change_config, write_tokenizer
from transformer.data.tokenizers.registry import tokenizer_from_state
from transformer.storage.pretrained.folder import read_pretrained
from transformer.system.errors import UserError

KINDS = ("gpt2", "two_files", "llama3", "qwen", "smollm")
PIECES = [
    *("the ", "Hamlet", "'s", " I'LL", "don't", "2026", " 1234567", "  ", "\n", "\r\n\n", "\t"),
    *("e\u0301", "A\u030a", "\u212b", "漢字", "🙂", "\u0000", "...", " (x)", "_", "<|endoftext|>"),
    *("<|im_end|>", "\u00a0", "ß", "\u200d", "ﬁ", "नमस्ते"),
]


def strings():
    """1,000 of them: parts of a text, and odd pieces put together."""
    choose = random.Random(0)
    found = ["", " ", "\n", TEXT]
    while len(found) < 1000:
        start = choose.randrange(len(TEXT))
        part = TEXT[start : start + choose.randrange(40)]
        found.append("".join(choose.choices([*PIECES, part], k=choose.randrange(1, 9))))
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_ids_of_1000_strings_are_those_of_transformers(save, kind):
    from transformers import PreTrainedTokenizerFast

    folder, _ = save(tokenizer=kind)
    if kind == "two_files":
        theirs = PreTrainedTokenizerFast(tokenizer_object=write_tokenizer(folder, "gpt2"))
        (folder / "tokenizer.json").unlink()
    else:
        theirs = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    ours = read_pretrained(folder).tokenizer
    assert ours.vocab_size == VOCAB_SIZE
    for text in strings():
        expected = theirs(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        ids = ours.encode(text)
        assert ids.tolist() == expected, repr(text)
        normal = unicodedata.normalize("NFC", text) if kind == "qwen" else text
        assert ours.decode(ids) == normal


def test_a_text_in_the_words_of_qwen_is_normalized_before_it_is_cut(save):
    """Its words are looked up one by one, so they must be those of the normalized text."""
    folder, _ = save(tokenizer="qwen")
    ours = read_pretrained(folder).tokenizer
    assert ours.split == "qwen2"
    text = "Cafe\u0301 A\u030angstrom\n e\u0301" * 3
    assert ours.encode(text).tolist() == ours.library.encode(text, add_special_tokens=False).ids


def test_ids_without_a_token_are_filled_with_tokens_that_no_text_has(save):
    folder, _ = save(tokenizer="llama3")
    ours = read_pretrained(folder).tokenizer
    assert ours.pieces[VOCAB_SIZE - 1] == f"<unused {VOCAB_SIZE - 1}>"
    assert VOCAB_SIZE - 1 not in ours.encode(f"<unused {VOCAB_SIZE - 1}>")
    assert ours.decode([VOCAB_SIZE - 1]) == ""
    again = tokenizer_from_state(json.loads(json.dumps(ours.state)))
    assert again.state == ours.state


@pytest.mark.parametrize(
    ("eos", "name"),
    [
        (None, "<|endoftext|>"),
        (2, "<|im_end|>"),
        ([1, 0], "<|im_start|>"),
        (50256, "<|endoftext|>"),
    ],
)
def test_a_text_ends_with_the_token_that_the_model_names(save, eos, name):
    folder, _ = save(tokenizer="qwen")
    change_config(folder, eos_token_id=eos)
    ours = read_pretrained(folder).tokenizer
    assert ours.pieces[ours.end_of_text] == name
    assert tokenizer_from_state(ours.state).end_of_text == ours.end_of_text


def test_two_files_name_their_special_tokens_elsewhere(save):
    folder, _ = save(tokenizer="two_files")
    added = {"2": {"content": "<|im_end|>", "special": True}, "0": {"content": "<|endoftext|>"}}
    config = {"added_tokens_decoder": added}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    change_config(folder, eos_token_id=2)
    ours = read_pretrained(folder).tokenizer
    assert ours.pieces[ours.end_of_text] == "<|im_end|>"


def test_a_folder_without_a_tokenizer_still_has_its_model(save):
    folder, _ = save(tokenizer=None)
    with pytest.raises(UserError, match=r"has no tokenizer \(tokenizer.json, or vocab.json and"):
        read_pretrained(folder).tokenizer  # noqa: B018
    assert read_pretrained(folder).model().block_size == 64


def test_two_files_do_not_say_how_another_class_cuts_words(save):
    folder, _ = save("Llama", tokenizer="two_files")
    with pytest.raises(UserError, match=r"has no tokenizer \(tokenizer.json\), so it cannot"):
        read_pretrained(folder).tokenizer  # noqa: B018


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"vocab_size": 300}, "cannot be used as a tokenizer: it has 320 tokens, but the model"),
        ({"vocab_size": 320}, None),
    ],
)
def test_a_tokenizer_with_more_tokens_than_the_model_is_refused(save, changes, words):
    folder, _ = save(tokenizer="smollm")
    change_config(folder, **changes)
    if words is None:
        assert read_pretrained(folder).tokenizer.vocab_size == 320
        return
    with pytest.raises(UserError, match=words):
        read_pretrained(folder).tokenizer  # noqa: B018


@pytest.mark.parametrize("content", ["", "{", "[]", '{"model": 5}', '{"model": {"vocab": 3}}'])
def test_a_damaged_tokenizer_is_one_line(save, content):
    folder, _ = save()
    (folder / "tokenizer.json").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=r"tokenizer\.json: ") as caught:
        read_pretrained(folder).tokenizer  # noqa: B018
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("merges.txt", "a b c\n", "damaged: a line is not two pieces"),
        ("vocab.json", "[]", "not a file of Hugging Face's tokenizers"),
        ("tokenizer_config.json", '{"added_tokens_decoder": 3}', "must be a JSON object"),
    ],
)
def test_two_damaged_files_are_one_line(save, name, content, words):
    folder, _ = save(tokenizer="two_files")
    (folder / name).write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=words):
        read_pretrained(folder).tokenizer  # noqa: B018
