"""Weights in int8 with a scale a row: how wrong they may be, and which bytes they are."""

import pytest
import torch

from transformer.storage.int8_rows import SCALES, dequantized, quantized
from transformer.storage.metadata import distinct_tensors

# Of a product, a quotient and a scale in float32, each half a unit in the last place.
ROUNDING = 3 * 2**-24


@pytest.mark.parametrize("shape", [(7, 5), (1, 13), (13, 1), (3, 5, 7), (2, 3, 5, 7)], ids=str)
@pytest.mark.parametrize("size", [1e-30, 1e-3, 1.0, 1e30])
def test_no_number_is_wrong_by_more_than_half_the_scale_of_its_row(generator, shape, size):
    weight = size * torch.randn(shape, generator=generator)
    stored = quantized({"w": weight})
    assert (stored["w"].dtype, stored["w"].shape) == (torch.int8, weight.shape)
    scales = stored["w" + SCALES]
    assert (scales.dtype, scales.shape) == (torch.float32, weight.shape[:1])
    assert torch.equal(scales, weight.abs().flatten(1).amax(1) / 127)
    wrong = (dequantized(stored)["w"].double() - weight.double()).abs().flatten(1).amax(1)
    largest = weight.abs().flatten(1).amax(1).double()
    assert (wrong <= scales.double() / 2 + ROUNDING * largest).all()
    assert (stored["w"].abs().flatten(1).amax(1) == 127).all()


def test_rows_do_not_share_a_scale(generator):
    weight = torch.randn(5, 7, generator=generator)
    weight[2] *= 1e6
    others = [0, 1, 3, 4]
    alone = dequantized(quantized({"w": weight[others]}))["w"]
    assert torch.equal(dequantized(quantized({"w": weight}))["w"][others], alone)


def test_half_goes_to_the_even_neighbour():
    row = torch.tensor([[127.0, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 2.49, 2.51]])
    assert quantized({"w": row})["w"].tolist() == [[127, 0, 2, 2, 0, -2, -2, 2, 3]]


def test_a_row_of_zeros_has_a_scale_of_zero_and_stays_zeros():
    for least in (0.0, 1e-45, 1e-37):
        stored = quantized({"w": torch.tensor([[0.0, -least], [1.0, 2.0]])})
        assert stored["w" + SCALES][0] == 0
        assert torch.equal(dequantized(stored)["w"][0], torch.zeros(2))


def test_rounding_what_was_rounded_changes_nothing(generator):
    once = quantized({"w": torch.randn(11, 13, generator=generator)})
    again = quantized(dequantized(once))
    assert torch.equal(once["w"], again["w"])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_vectors_and_numbers_stay_in_float32(dtype):
    stored = quantized({"bias": torch.tensor([0.25, 3.0], dtype=dtype), "n": torch.tensor(7)})
    assert list(stored) == ["bias", "n"]
    assert torch.equal(stored["bias"], torch.tensor([0.25, 3.0]))
    assert torch.equal(stored["n"], torch.tensor(7))
    assert list(dequantized(stored)) == ["bias", "n"]


def test_a_model_comes_back_with_its_tied_matrix_stored_once(make_gpt):
    for tied in (True, False):
        model = make_gpt(tie_weights=tied)
        weights = distinct_tensors(model.state_dict())
        stored = quantized(weights)
        assert ("lm_head.weight" in stored) != tied
        back = dequantized(stored)
        assert list(back) == list(weights)
        assert {name: t.shape for name, t in back.items()} == {
            name: t.shape for name, t in weights.items()
        }


def test_the_same_weights_give_the_same_bytes_whatever_their_layout(generator):
    weight = torch.randn(7, 5, generator=generator)
    expected = quantized({"w": weight})
    for same in (weight.clone(), weight.t().contiguous().t(), weight.requires_grad_()):
        stored = quantized({"w": same})
        assert all(torch.equal(stored[name], expected[name]) for name in expected)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("shape", [(2, 3), (3,)], ids=str)
def test_what_is_not_finite_is_refused(shape, number):
    weight = torch.zeros(shape)
    weight.view(-1)[1] = number
    with pytest.raises(ValueError, match=r"lm_head\.weight holds numbers that are not finite"):
        quantized({"lm_head.weight": weight})


def test_scales_that_do_not_fit_are_refused():
    stored = quantized({"w": torch.ones(2, 3), "b": torch.ones(2)})
    for changed in (
        {"w": stored["w"]},
        stored | {"w" + SCALES: torch.ones(3)},
        stored | {"w" + SCALES: torch.ones(2, 1)},
        stored | {"w" + SCALES: torch.ones(2, dtype=torch.float64)},
        stored | {"w": torch.ones(2, 3)},
    ):
        with pytest.raises(ValueError, match="w has no scale for each of its rows, or needs none"):
            dequantized(changed)
    with pytest.raises(ValueError, match=r"w\.scales has no tensor"):
        dequantized({"w" + SCALES: torch.ones(2)})
