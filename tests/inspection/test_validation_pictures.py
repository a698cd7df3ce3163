"""Pictures of a GPT at validation: their colors show the numbers of the model."""

import numpy as np
import pytest
import torch

from tests.marks import first_fast
from transformer.config.keys import Config
from transformer.data.text.corpus import Corpus
from transformer.data.tokenizers.characters import CharacterTokenizer
from transformer.inspection.canvas import LETTER, color_table
from transformer.inspection.validation_pictures import (
    CELL,
    LEAST_CHARACTERS,
    MOST_CHARACTERS,
    ValidationPictures,
    attention_picture,
    similarity_picture,
)
from transformer.models import build_model
from transformer.tasks.registry import task_of

N, H, T = 2, 3, 7
TOKENIZER = CharacterTokenizer("\n abcdefghijk")  # 13, as many as make_gpt's models know


@pytest.fixture
def tokens(generator):
    return torch.randint(0, 13, (101,), generator=generator)


def colors(cmap, shares):
    """Of numbers from 0 to 1."""
    places = (np.asarray(shares) * 255).round().astype(int)
    return color_table(cmap)[places]


def outside(image, boxes):
    """The picture without its maps."""
    image = image.copy()
    for box in boxes:
        image[box.top : box.top + box.side, box.left : box.left + box.side] = 0
    return image


@pytest.mark.parametrize("training", [True, False])
def test_the_attention_grid_has_the_models_own_weights_block_by_block(make_gpt, tokens, training):
    model = make_gpt(dropout=0.5).train(training)
    image = ValidationPictures(model, TOKENIZER, tokens).draw(model)["attention"]
    assert model.training == training
    with torch.no_grad():
        weights = model.eval().attention_weights(tokens[None, :T])[:, 0]
    picture = attention_picture(TOKENIZER.decode(tokens[:T].numpy()), N, H)
    assert image.shape == picture.background.shape
    for number, box in enumerate(picture.boxes):
        middles = CELL // 2 + CELL * np.arange(T)
        found = image[np.ix_(box.top + middles, box.left + middles)]
        assert np.array_equal(found, colors("Blues", weights[number // H, number % H]))
    assert np.array_equal(outside(image, picture.boxes), outside(picture.background, picture.boxes))


def test_maps_stand_side_by_side_for_heads_and_below_each_other_for_blocks():
    boxes = attention_picture("abcdefg", N, H).boxes
    assert {box.side for box in boxes} == {T * CELL}
    places = [(box.top, box.left) for box in boxes]
    assert places == sorted(places)
    assert [len({top for top, _ in places}), len({left for _, left in places})] == [N, H]


def test_every_map_has_the_same_letters_around_it():
    picture = attention_picture("ab\n$_ 国", N, H)  # no math, and a sign that the font lacks
    rims = [
        picture.background[box.top : box.top + box.side + 20, box.left - 20 : box.left + box.side]
        for box in picture.boxes
    ]
    assert all(np.array_equal(rim, rims[0]) for rim in rims)
    assert (rims[0][:, :18] < 128).any()
    assert (rims[0][-18:] < 128).any()


def test_the_similarity_picture_has_the_cosine_of_each_two_positions(make_gpt, tokens):
    model = make_gpt()
    image = ValidationPictures(model, TOKENIZER, tokens).draw(model)["position_similarity"]
    (box,) = similarity_picture(T).boxes
    middles = ((np.arange(T) + 0.5) * box.side / T).astype(int)
    vectors = model.position_embedding.weight.detach()
    similarity = torch.cosine_similarity(vectors[:, None], vectors[None], dim=-1)
    found = image[np.ix_(box.top + middles, box.left + middles)]
    assert np.array_equal(found, colors("RdBu_r", (similarity + 1) / 2))


@pytest.mark.parametrize("heads", first_fast([6, 4, 12]))
def test_letters_are_as_high_as_text_on_a_screen_and_the_picture_no_wider_than_one(
    make_gpt, tokens, heads
):
    shape = {"num_heads": heads, "embedding_dim": 2 * heads, "block_size": 101}
    pictures = ValidationPictures(make_gpt(**shape, num_blocks=2), TOKENIZER, tokens)
    assert 12 <= LETTER < CELL
    assert pictures._attention.background.shape[1] < 2100
    assert CELL * len(pictures.tokens) >= 100


def test_more_positions_than_pixels_are_thinned_out():
    picture = similarity_picture(1009)
    assert picture.paint(torch.ones(1, 1009, 1009)).shape == picture.background.shape


@pytest.mark.parametrize("positions", ["rotary", "sinusoidal", "none"])
def test_only_learned_positions_are_pictured(make_gpt, tokens, positions):
    model = make_gpt(positions=positions)
    assert set(ValidationPictures(model, TOKENIZER, tokens).draw(model)) == {"attention"}


@pytest.mark.parametrize(
    ("heads", "block_size", "expected"),
    first_fast(
        [(10, 101, 12), (3, 7, 7), (3, 101, MOST_CHARACTERS), (101, 101, LEAST_CHARACTERS)],
        several=True,
    ),
)
def test_more_heads_leave_fewer_characters(make_gpt, tokens, heads, block_size, expected):
    shape = {"num_heads": heads, "embedding_dim": 2 * heads, "block_size": block_size}
    pictures = ValidationPictures(make_gpt(**shape, num_blocks=1), TOKENIZER, tokens)
    assert torch.equal(pictures.tokens, tokens[:expected])


KEYS = {"batch_size": 2, "epochs": 1, "lr": 1e-3, "block_size": 7, "num_workers": 0}
SIZES = {"num_heads": 3, "embedding_dim": 30, "num_blocks": 2}


@pytest.mark.parametrize("kind", ["gpt", "bigram"])
def test_a_gpt_is_shown_on_the_beginning_of_the_validation_split(tmp_path, kind, monkeypatch):
    monkeypatch.setattr("transformer.tasks.text_run.SAMPLE_TOKENS", 1)
    path = tmp_path / "text.txt"
    path.write_text("".join("\n abcdefghijk"[n * n % 13] for n in range(101)), encoding="utf-8")
    config = Config(**KEYS, **SIZES, data_path=str(path), model=kind, sample_prompt="b")
    corpus = Corpus.from_file(path)
    task = task_of(config.model).start(config, corpus, 0)
    model = build_model(**config.architecture(**task.data.sizes)).eval()
    images = task.show(model).images
    if kind == "bigram":
        assert images == {}
        return
    validation = torch.from_numpy(corpus.val)
    expected = ValidationPictures(model, corpus.tokenizer, validation).draw(model)
    assert images.keys() == expected.keys()
    assert all(np.array_equal(images[name], expected[name]) for name in images)
