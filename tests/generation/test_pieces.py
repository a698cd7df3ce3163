"""Writing with other tokens than characters: ends, healing, and prompts of any kind."""

import pytest
import torch

from transformer.data.tokenizers.bpe import BpeTokenizer
from transformer.data.tokenizers.bytes import ByteTokenizer
from transformer.decoding.sampling import Sampler
from transformer.generation.text import TextGenerator
from transformer.models.bigram import Bigram


@pytest.fixture(scope="module")
def pairs():
    return BpeTokenizer.from_text("the then there\n" * 40)


def follower(tokenizer, follows):
    """A bigram model that goes on as `follows`: pairs of tokens."""
    model = Bigram(vocab_size=tokenizer.vocab_size, block_size=5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
            for place, (one, other) in enumerate(follows):  # the first is the likeliest
                parameter[one, other] = 90.0 - place
    return TextGenerator(model, tokenizer)


def test_the_end_of_text_token_ends_a_text_and_is_not_shown():
    tokenizer = ByteTokenizer()
    ends = follower(tokenizer, [(97, 98), (98, tokenizer.end_of_text)])
    assert ends.generate("a", max_new_tokens=9, temperature=0.0) == ["ab"]
    (row,) = ends.begin(["a"])
    for _ in ends.write([row], max_new_tokens=9, sampler=Sampler(temperature=0.0)):
        pass
    assert row.tokens == [98]


def test_no_prompt_is_refused_and_one_that_is_no_utf_8_is_shown_with_replacements(pairs):
    for tokenizer in (ByteTokenizer(), pairs):
        generator = follower(tokenizer, [])
        for prompt in ("漢字 and 🙂", "<|endoftext|>", "\x00", "\ud800", "a\udcff"):
            (text,) = generator.generate(prompt, max_new_tokens=2, temperature=0.0)
            assert text.startswith(prompt[:1].replace("\ud800", "\ufffd"))


def test_a_healed_prompt_goes_on_with_a_longer_token(pairs):
    ids = {name: pairs.pieces.index(name) for name in (" the", " there", " then", "\n")}
    # After a line end, the model likes another line end best, and then " there"; never "re".
    follows = [(ids["\n"], ids["\n"]), (ids["\n"], ids[" there"]), (ids[" there"], ids["\n"])]
    generator = follower(pairs, follows)
    text = "\n the"
    assert pairs.encode(text).tolist() == [ids["\n"], ids[" the"]]
    plain = generator.generate(text, max_new_tokens=1, temperature=0.0)[0]
    assert plain != "\n there"
    assert generator.generate(text, max_new_tokens=1, temperature=0.0, heal_prompt=True) == [
        "\n there"
    ]


@pytest.mark.parametrize(
    "settings", [{"temperature": 0.0}, {"top_k": 3}, {"repetition_penalty": 2.0}]
)
def test_a_healed_text_begins_with_its_prompt_whatever_the_model_prefers(pairs, settings):
    generator = follower(pairs, [])
    prompts = ["a the", "the", "then 漢", "\n\n the there", "ab"]
    for seed in range(5):
        for prompt in prompts:
            (text,) = generator.generate(
                prompt, max_new_tokens=4, seed=seed, heal_prompt=True, **settings
            )
            assert text.startswith(prompt)
            (row,) = generator.begin([prompt], heal_prompt=True)
            lacking, sampler = row.healed, Sampler(seed=seed, **settings)
            for _ in generator.write([row], max_new_tokens=4, sampler=sampler):
                pass
            written = b"".join(map(pairs.bytes_of, row.tokens))
            assert written.startswith(lacking) or lacking.startswith(written)


def test_healing_changes_nothing_for_tokens_that_are_never_longer():
    generator = follower(ByteTokenizer(), [])
    texts = [
        generator.generate("abc", max_new_tokens=9, seed=3, heal_prompt=heal)
        for heal in (False, True)
    ]
    assert texts[0] == texts[1]
