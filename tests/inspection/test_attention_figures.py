"""Attention maps as figures: labels, sizes, and shades that equal the weights."""

import pytest
import torch

from tests.marks import first_fast
from transformer.data.tokenizers.pairs import PairTokenizer, UnitTokenizer
from transformer.inspection.attention_figures import attention_figure, cross_attention_figure
from transformer.special_ids import BEGIN

N, H, T, S = 2, 3, 5, 7


def labels(ticks):
    return [tick.get_text() for tick in ticks]


def images(figure):
    return [axes.images[0].get_array() for axes in figure.axes]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    ("blocks", "heads"), first_fast([(N, H), (1, 1), (1, H), (N, 1)], 2, several=True)
)
def test_there_is_a_map_for_each_block_and_head_of_the_weights(blocks, heads, dtype, generator):
    weights = torch.rand(blocks, heads, T, S, generator=generator).to(dtype)
    figure = attention_figure(weights, "vwxyz", "abcdefg")
    assert len(figure.axes) == blocks * heads
    for image, expected in zip(images(figure), weights.flatten(0, 1), strict=True):
        assert torch.equal(torch.as_tensor(image), expected.float())
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == [f"block {n + 1}, head {h + 1}" for n in range(blocks) for h in range(heads)]


def test_rows_and_columns_are_named_and_all_maps_have_one_scale(generator):
    weights = torch.rand(N, H, T, S, generator=generator) / 2
    rows, columns = ["K", "AE1", "T", "S", "end"], list("aabcdee")
    for axes in attention_figure(weights, rows, columns).axes:
        assert labels(axes.get_yticklabels()) == rows
        assert labels(axes.get_xticklabels()) == columns
        assert axes.get_yticks().tolist() == [*range(T)]
        assert axes.get_xticks().tolist() == [*range(S)]
        assert axes.images[0].get_clim() == (0, 1)


def test_an_empty_label_has_no_tick(generator):
    weights = torch.rand(1, 1, T, S, generator=generator)
    (axes,) = attention_figure(weights, ["", "b", "", "", "e"], [*"ab", *[""] * 5]).axes
    assert (axes.get_yticks().tolist(), labels(axes.get_yticklabels())) == ([1, 4], ["b", "e"])
    assert (axes.get_xticks().tolist(), labels(axes.get_xticklabels())) == ([0, 1], ["a", "b"])


@pytest.mark.parametrize("training", [True, False])
def test_a_figure_of_a_pair_shows_what_each_phone_and_the_end_read(make_encoder_decoder, training):
    """Row t is of the token before phone t, from which that was chosen: BEGIN for the first."""
    model = make_encoder_decoder(dropout=0.5).train(training)
    phones = "P T K AA0 AA1 IY0 IY1 S Z N".split()
    tokenizer = PairTokenizer(
        UnitTokenizer("characters", [*"abcdefghijklmn"]), UnitTokenizer("words", phones)
    )
    figure = cross_attention_figure(model, tokenizer, "cab", "K AA1 P")
    assert model.training == training
    with torch.no_grad():
        weights = model.eval().cross_attention_weights(
            torch.tensor([[5, 3, 4]]), torch.tensor([[BEGIN, 5, 7, 3]])
        )
    assert len(figure.axes) == len(weights[:, 0].flatten(0, 1)) == 6
    for axes, expected in zip(figure.axes, weights[:, 0].flatten(0, 1), strict=True):
        assert torch.equal(torch.as_tensor(axes.images[0].get_array()), expected)
        assert labels(axes.get_yticklabels()) == ["K", "AA1", "P", "end"]
        assert labels(axes.get_xticklabels()) == ["c", "a", "b"]


def test_a_figure_of_an_empty_target_has_the_end_alone(make_encoder_decoder):
    tokenizer = PairTokenizer(
        UnitTokenizer("characters", [*"abcdefghijklmn"]),
        UnitTokenizer("characters", [*"0123456789"]),
    )
    figure = cross_attention_figure(make_encoder_decoder(), tokenizer, "cab", "")
    assert labels(figure.axes[0].get_yticklabels()) == ["end"]
