"""Decoding with a cache: what it gives equals an uncached pass over the same tokens."""

from functools import partial

import pytest
import torch
from torch.testing import assert_close

from transformer.special_ids import PADDING

V, BLOCK_SIZE, NUM_BLOCKS = 13, 7, 2  # make_encoder_decoder's
B, BEAMS, T = 3, 2, 8
OPTIONS = [
    {},
    {"positions": "learned"},
    {"positions": "rotary"},
    {"positions": "none"},
    {"norm_first": True, "norm": "rmsnorm", "activation": "swiglu"},
    {"qk_norm": True, "positions": "rotary"},
    {"num_heads": 6, "num_kv_heads": 2, "head_dim": 4, "qk_norm": True},
    {"ngram_size": 3, "ngram_buckets": 17},
    {"shared_vocabulary": True, "source_vocab_size": V},
]
each_option = pytest.mark.parametrize("options", OPTIONS, ids=str)
same = partial(assert_close, rtol=0, atol=1e-10)  # the same mathematics in float64

pytestmark = [pytest.mark.parity, pytest.mark.usefixtures("float64")]


@pytest.fixture
def source():
    full = [[3, 9, 4, 12, 5], [7, 11, PADDING, PADDING, PADDING], [6, 6, 10, 3, PADDING]]
    return torch.tensor(full)


@pytest.fixture
def tokens(generator):
    """Other tokens for each beam of each source."""
    return torch.randint(1, V, (B * BEAMS, T), generator=generator)


@each_option
@pytest.mark.parametrize("num_beams", [1, BEAMS])
@pytest.mark.parametrize("sizes", [(1,) * T, (3, 1, 2, 2), (T,)], ids=str)
@torch.no_grad()
def test_reading_in_pieces_equals_reading_at_once(
    make_encoder_decoder, options, num_beams, sizes, source, tokens
):
    model = make_encoder_decoder(**options)
    tokens = tokens[: B * num_beams]
    expected = model(source.repeat_interleave(num_beams, dim=0), tokens)
    given = model.given(source)
    same(given(tokens), expected)
    cache = given.make_cache(len(tokens))
    pieces = [given(piece, cache=cache) for piece in tokens.split(sizes, dim=1)]
    same(torch.cat(pieces, dim=1), expected)
    assert cache.tokens.tolist() == tokens.tolist()


@each_option
@pytest.mark.parametrize(
    "rows",
    [[1, 0, 3, 3, 4, 5], [1, 0, 5, 4], [2, 2], [3, 2, 5, 5], [0, 1, 2, 3, 4, 5]],
    ids=str,
)
@torch.no_grad()
def test_beams_that_are_selected_go_on_each_from_what_it_had_read(
    make_encoder_decoder, options, rows, source, tokens
):
    """In another order, one for both of a source, and without some sources; twice."""
    model = make_encoder_decoder(**options)
    given = model.given(source)
    cache = given.make_cache(len(tokens))
    given(tokens[:, :3], cache=cache)
    cache.select(torch.tensor(rows))
    read = torch.cat((tokens[rows, :3], tokens[: len(rows), 3:]), dim=1)
    sources = source[torch.tensor(rows) // BEAMS]
    expected = model(sources, read)
    pieces = [given(piece, cache=cache) for piece in read[:, 3:6].split((1, 2), dim=1)]
    same(torch.cat(pieces, dim=1), expected[:, 3:6])
    cache.select(torch.tensor([1, 0]))  # the first source alone
    read = torch.cat((read[[1, 0], :6], tokens[:2, 6:]), dim=1)
    same(given(read[:, 6:], cache=cache), model(sources[:2], read)[:, 6:])
    assert len(cache.memory) == len(cache.memory_mask) == 1


@torch.no_grad()
def test_the_memory_and_its_keys_are_worked_out_once(make_encoder_decoder, source, tokens):
    model = make_encoder_decoder()
    calls = []
    for block in model.decoder_blocks:
        layer = block.cross_attention.key_value
        layer.register_forward_hook(lambda *_: calls.append("keys"))
    model.encoder_blocks[0].register_forward_hook(lambda *_: calls.append("memory"))
    given = model.given(source)
    cache = given.make_cache(len(tokens))
    for t in range(3):
        given(tokens[:, t : t + 1], cache=cache)
    cache.select(torch.tensor([1, 0, 4, 4]))
    given(tokens[:4, 3:], cache=cache)
    assert calls == ["memory"] + ["keys"] * NUM_BLOCKS


@torch.no_grad()
def test_beams_that_begin_alike_are_read_once(make_encoder_decoder, source, tokens):
    model = make_encoder_decoder()
    read = []
    block = model.decoder_blocks[0]
    block.feedforward.register_forward_hook(lambda _, inputs, __: read.append(inputs[0].shape[:2]))
    given = model.given(source)
    alike = tokens[::BEAMS].repeat_interleave(BEAMS, dim=0)
    cache = given.make_cache(len(tokens))
    first = given(alike[:, :1], cache=cache)
    second = given(tokens[:, :1], cache=cache)
    assert read == [(B, 1), (B, BEAMS)]
    expected = model(
        source.repeat_interleave(BEAMS, dim=0), torch.cat((alike[:, :1], tokens[:, :1]), dim=1)
    )
    same(torch.cat((first, second), dim=1), expected)


@torch.no_grad()
def test_caches_of_one_source_know_nothing_of_each_other(make_encoder_decoder, source, tokens):
    model = make_encoder_decoder()
    given = model.given(source)
    first, second = given.make_cache(B), given.make_cache(B)
    given(tokens[:B], cache=first)
    first.select(torch.tensor([2]))
    same(given(tokens[B:], cache=second), model(source, tokens[B:]))


def test_more_tokens_or_other_rows_than_there_is_room_for_are_refused(
    make_encoder_decoder, source, tokens
):
    given = make_encoder_decoder().given(source)
    cache = given.make_cache(len(tokens))
    given(tokens[:, :7], cache=cache)
    with pytest.raises(ValueError, match="9 tokens, but block_size=8"):
        given(tokens[:, :2], cache=cache)
    with pytest.raises(ValueError, match="3 rows for a cache of 6"):
        given(tokens[:B, :1], cache=cache)
