"""Source in, target out: batches, errors, files, number formats."""

import math

import pytest
import torch
import torch.nn.functional as F

from transformer.data.tokenizers.characters import CharacterTokenizer
from transformer.data.tokenizers.pairs import PairTokenizer, UnitTokenizer
from transformer.generation.int8_linear import Int8Linear
from transformer.generation.number_formats import prepare
from transformer.generation.options import GenerateOptions
from transformer.generation.text import load
from transformer.generation.translation import Translator, load_translator
from transformer.models.encoder_decoder import EncoderDecoder
from transformer.special_ids import BEGIN, END
from transformer.storage.model_file import save_model
from transformer.system.errors import UserError
from transformer.tasks.registry import task_of

pytestmark = pytest.mark.parity
LETTERS = "abcdefghijklmn"
PHONES = "P T K AA0 AA1 IY0 IY1 S Z N".split()
SOURCES = ["abc", "n", "dddefg", "ba", "hijklmn", "ab", "k"]
VARIED = {"positions": "rotary"}  # with drawn weights, some of SOURCES end and some do not


@pytest.fixture
def tokenizer():
    """With the sizes of make_encoder_decoder: 17 and 13."""
    return PairTokenizer(UnitTokenizer("characters", [*LETTERS]), UnitTokenizer("words", PHONES))


@pytest.fixture
def translator(make_encoder_decoder, tokenizer):
    return Translator(make_encoder_decoder(**VARIED), tokenizer)


def parts_of(model, tokenizer):
    return {"architecture": model.architecture, "tokenizer": tokenizer.state}


@pytest.fixture
def path(make_encoder_decoder, tokenizer, tmp_path):
    model = make_encoder_decoder(**VARIED)
    save_model(tmp_path / "model.safetensors", model, parts_of(model, tokenizer))
    return tmp_path / "model.safetensors"


@pytest.fixture(scope="module")
def learned():
    """The shape and weights of a model that knows 11 pairs by heart, and these pairs.

    Wide enough for int8, and sure of each token, so that rounding changes none.
    """
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    shape = {"embedding_dim": 48, "num_heads": 3, "num_blocks": 1, "block_size": 7}
    model = EncoderDecoder(vocab_size=13, source_vocab_size=17, **shape)
    source = torch.randint(3, 17, (11, 5), generator=generator)
    target = torch.randint(3, 13, (11, 6), generator=generator)
    tokens, targets = F.pad(target, (1, 0), value=BEGIN), F.pad(target, (0, 1), value=END)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(120):
        optimizer.zero_grad()
        F.cross_entropy(model(source, tokens).flatten(0, 1), targets.flatten()).backward()
        optimizer.step()
    return model.architecture, model.state_dict(), source, target


def load_learned(learned, tokenizer, precision):
    architecture, weights, source, target = learned
    arguments = {name: value for name, value in architecture.items() if name != "model"}
    model = EncoderDecoder(**arguments).eval()
    model.load_state_dict(weights)
    prepare(model, "cpu", precision)
    texts = [tokenizer.source.decode(row) for row in source]
    return Translator(model, tokenizer), texts, [tokenizer.target.decode(row) for row in target]


@pytest.mark.parametrize("num_beams", [1, 3])
@pytest.mark.parametrize("batch_size", [2, 3, 256])
def test_sources_come_back_in_their_places_as_if_each_were_alone(translator, num_beams, batch_size):
    translator.model.double()
    settings = {"num_beams": num_beams, "num_results": num_beams}
    found = translator.search(SOURCES, batch_size=batch_size, **settings)
    assert len({str([h.tokens for h in best]) for best in found}) > 3  # they can be told apart
    assert {best[0].finished for best in found} == {True, False}
    for source, best in zip(SOURCES, found, strict=True):
        (alone,) = translator.search([source], **settings)
        assert [h.tokens for h in best] == [h.tokens for h in alone]
        for ours, theirs in zip(best, alone, strict=True):
            assert ours.log_probability == pytest.approx(theirs.log_probability, abs=1e-10)
            assert ours.finished == theirs.finished


@pytest.mark.parametrize("num_beams", [1, 3])
def test_a_translation_is_the_first_that_the_search_finds(translator, num_beams):
    found = translator.search(SOURCES, num_beams=num_beams)
    expected = [" ".join(PHONES[token - 3] for token in best[0].tokens) for best in found]
    assert translator.translate(SOURCES, num_beams=num_beams) == expected


def test_as_many_results_are_given_as_asked_for_the_best_first(translator):
    for num_results in (1, 2, 5):
        for best in translator.search(SOURCES, num_beams=5, num_results=num_results):
            assert len(best) == num_results
            ended = [h.score for h in best if h.finished]
            assert ended == sorted(ended, reverse=True)


def test_no_sources_have_no_translations(translator):
    assert translator.translate([]) == []


def test_translating_leaves_the_model_in_its_mode(translator):
    for training in (True, False):
        translator.model.train(training)
        translator.translate(["abc"])
        assert translator.model.training == training


@pytest.mark.parametrize(
    ("source", "match"),
    [
        ("abz", r"the model never saw 'z' \(LATIN SMALL LETTER Z\)"),
        ("", "the source is empty: give a text of at least one unit"),
        ("abcdefgh", "'abcdefgh': 8 characters, but the model reads at most 7"),
    ],
)
def test_a_source_that_cannot_be_read_is_a_users_error(translator, source, match):
    with pytest.raises(UserError, match=match):
        translator.translate(["abc", source])


def test_what_the_model_never_saw_can_be_left_out(translator):
    known, num_dropped = translator.drop_unknown("aZbéc ")
    assert (known, num_dropped) == ("abc", 3)
    assert translator.drop_unknown("ZZ") == ("", 2)


def test_logits_that_are_not_finite_name_the_file(path):
    translator = load_translator(path, "cpu")
    with torch.no_grad():
        translator.model.lm_head.weight.fill_(math.nan)
    with pytest.raises(UserError, match="logits are not finite") as caught:
        translator.translate(["abc"])
    assert str(caught.value).startswith(f"{path}: ")
    with pytest.raises(UserError, match=r"^the model's logits are not finite"):
        Translator(translator.model, translator.tokenizer).translate(["abc"])


def test_a_file_translates_as_the_model_that_was_saved(path, translator):
    loaded = load_translator(path, "cpu", "float32")
    assert loaded.translate(SOURCES, num_beams=3) == translator.translate(SOURCES, num_beams=3)
    assert loaded.saved.path == path


def test_each_kind_of_model_has_its_own_way_to_load_it(path, make_gpt, tmp_path):
    model, tokenizer = make_gpt(), CharacterTokenizer("\n abcdefghijk")
    text_path = tmp_path / "text.safetensors"
    save_model(text_path, model, parts_of(model, tokenizer))
    with pytest.raises(UserError, match=r"text.safetensors: holds a gpt.*with transformer.load$"):
        load_translator(text_path)
    match = r"model.safetensors: holds an encoder_decoder: load it with transformer.load_translator"
    with pytest.raises(UserError, match=match):
        load(path)


@pytest.mark.parametrize("num_beams", [1, 3])
@pytest.mark.parametrize("precision", ["float32", "bf16", "int8"])
def test_what_was_learned_by_heart_is_kept_in_every_number_format(
    learned, tokenizer, precision, num_beams
):
    translator, sources, targets = load_learned(learned, tokenizer, precision)
    kinds = {type(module) for module in translator.model.modules()}
    assert (Int8Linear in kinds) == (precision == "int8")
    assert translator.translate(sources, num_beams=num_beams) == targets


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_log_probabilities_are_nearly_those_of_float32(learned, tokenizer, precision):
    exact, sources, _ = load_learned(learned, tokenizer, "float32")
    rounded, _, _ = load_learned(learned, tokenizer, precision)
    for ours, theirs in zip(rounded.search(sources), exact.search(sources), strict=True):
        assert ours[0].finished
        assert ours[0].log_probability == pytest.approx(theirs[0].log_probability, abs=5e-2)


@pytest.mark.parametrize(
    ("model", "flags", "named"),
    [
        ("gpt", {"num_beams": 3}, "`num_beams` does not apply to a model of texts: leave it out"),
        ("bigram", {"length_penalty": 0.6}, "`length_penalty` .* of texts"),
        ("encoder_decoder", {"temperature": 0.8}, "`temperature` .* of pairs .*: leave it out"),
        ("encoder_decoder", {"max_new_tokens": 7}, "`max_new_tokens`"),
        ("encoder_decoder", {"top_k": 5}, "`top_k`"),
        ("encoder_decoder", {"seed": 0}, "`seed`"),
        ("encoder_decoder", {"stop": ("a",)}, "`stop`"),
        ("encoder_decoder", {"num_samples": 5}, "`num_samples=5` .*`num_beams`, got 1"),
        ("encoder_decoder", {"num_samples": 5, "num_beams": 3}, "`num_samples=5` .*, got 3"),
    ],
)
def test_flags_that_say_nothing_to_a_model_are_refused(model, flags, named):
    with pytest.raises(UserError, match=named):
        task_of(model).check(GenerateOptions(**flags))


@pytest.mark.parametrize(
    ("model", "flags"),
    [
        ("gpt", {"temperature": 0.5, "num_samples": 5, "stop": ("a",), "seed": 1}),
        ("bigram", {"top_k": 3}),
        ("encoder_decoder", {"num_samples": 3, "num_beams": 3, "length_penalty": 0}),
        ("encoder_decoder", {}),
    ],
)
def test_flags_that_apply_to_a_model_pass(model, flags):
    task_of(model).check(GenerateOptions(**flags))
