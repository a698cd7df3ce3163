"""Text in, text out."""

import pytest
import torch

from transformer.data.tokenizers.characters import CharacterTokenizer
from transformer.generation.text import TextGenerator, load
from transformer.system.errors import UserError

VOCABULARY = "\n abcdefghijk"  # 13 characters: as many as the tokens of make_gpt


@pytest.fixture
def writer(make_gpt):
    return TextGenerator(make_gpt(), CharacterTokenizer(VOCABULARY))


def test_a_text_is_the_prompt_and_as_many_new_characters_as_asked_for(writer):
    (text,) = writer.generate("abc", max_new_tokens=17)
    assert text.startswith("abc")
    assert len(text) == 3 + 17
    assert writer.generate("abc", max_new_tokens=0) == ["abc"]


def test_greedy_text_equals_taking_the_likeliest_character_by_hand(writer):
    """Past the context of 7 too: a window that is full loses its oldest 4 characters."""
    text = "abcabcabcabc"
    window = text[-7:]
    with torch.no_grad():
        for _ in range(11):
            ids = torch.tensor([[VOCABULARY.index(c) for c in window]])
            new = VOCABULARY[writer.model(ids)[0, -1].argmax()]
            window = (window[4:] if len(window) == 7 else window) + new
            text += new
    assert writer.generate("abcabcabcabc", max_new_tokens=11, temperature=0.0) == [text]


def test_an_empty_prompt_starts_from_a_newline(writer):
    settings = {"max_new_tokens": 11, "seed": 3}
    (text,) = writer.generate("", **settings)
    assert text[0] == "\n"
    assert [text] == writer.generate("\n", **settings)
    assert [text] == writer.generate(**settings)


def test_a_text_ends_before_the_first_stop_text(writer):
    settings = {"max_new_tokens": 40, "seed": 3}
    whole = writer.generate("ab", num_samples=3, **settings)
    stops = [whole[0][9:11], whole[1][20:22]]
    for text, short in zip(
        whole, writer.generate("ab", num_samples=3, stop=stops, **settings), strict=True
    ):
        ends = [at for stop in stops if (at := text.find(stop, 2)) >= 0]
        assert short == (text[: min(ends)] if ends else text)


def test_the_other_settings_reach_the_sampler(writer):
    settings = {"max_new_tokens": 30, "seed": 3}
    plain = writer.generate("ab", **settings)
    greedy = writer.generate("ab", temperature=0.0, **settings)
    assert writer.generate("ab", min_p=1.0, **settings) == greedy
    assert writer.generate("ab", top_k=1, **settings) == greedy
    assert writer.generate("ab", top_p=1e-9, **settings) == greedy
    assert writer.generate("ab", repetition_penalty=9.0, **settings) != plain
    assert greedy != plain


def test_characters_the_model_never_saw_are_named(writer):
    with pytest.raises(UserError, match=r"never saw 'é' \(LATIN SMALL LETTER E WITH ACUTE\)"):
        writer.generate("abé", max_new_tokens=1)
    with pytest.raises(UserError, match=r"2 of the characters, 'X' .*, 'Y' "):
        writer.generate("aXbY", max_new_tokens=1)


def test_skip_unknown_drops_them(writer):
    settings = {"max_new_tokens": 11, "skip_unknown": True}
    assert writer.generate("aXbYé", **settings) == writer.generate("ab", **settings)
    assert writer.generate("XY", **settings) == writer.generate("\n", **settings)


def test_samples_differ_and_the_first_ones_do_not_depend_on_how_many_are_made(writer):
    five = writer.generate("ab", max_new_tokens=17, num_samples=5, seed=2)
    assert len(set(five)) == 5
    assert writer.generate("ab", max_new_tokens=17, num_samples=2, seed=2) == five[:2]
    assert writer.generate("ab", max_new_tokens=17, num_samples=5, seed=2) == five


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_read_in_eval_mode_and_left_in_the_mode_it_was_in(make_gpt, training):
    tokenizer = CharacterTokenizer(VOCABULARY)
    plain = TextGenerator(make_gpt(), tokenizer)
    dropping = TextGenerator(make_gpt(dropout=0.5).train(training), tokenizer)
    settings = {"max_new_tokens": 17, "temperature": 0.0}
    assert dropping.generate("ab", **settings) == plain.generate("ab", **settings)
    assert dropping.model.training == training


def spoil(model):
    with torch.no_grad():
        model.lm_head.weight[4] = torch.nan


def test_sampling_does_not_disturb_training(make_gpt):
    """A sample is taken in the middle of training: gradients flow afterwards."""
    writer = TextGenerator(make_gpt().train(), CharacterTokenizer(VOCABULARY))
    writer.generate("ab", max_new_tokens=20)
    writer.model(torch.tensor([[1, 2, 3]])).sum().backward()
    assert all(p.grad is not None for p in writer.model.parameters())


def test_a_model_with_nan_weights_is_a_users_error_and_its_mode_is_restored(writer):
    spoil(writer.model.train())
    with pytest.raises(UserError, match="logits are not finite"):
        writer.generate("ab", max_new_tokens=5)
    assert writer.model.training


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": -1.0}, "temperature must be at least 0"),
        ({"top_k": 0}, "top_k must be at least 1"),
        ({"top_p": 2.0}, "top_p must be greater than 0"),
        ({"num_samples": 0}, "num_samples must be at least 1, got 0"),
        ({"max_new_tokens": -1}, "max_new_tokens must be a whole number from 0, got -1"),
    ],
)
def test_settings_out_of_range_are_refused(writer, settings, message):
    with pytest.raises(ValueError, match=message):
        writer.generate("ab", **settings)


def test_loading_names_a_missing_file(tmp_path):
    with pytest.raises(UserError, match="no such checkpoint"):
        load(tmp_path / "model.safetensors")
