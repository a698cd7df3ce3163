"""The cache: what it gives equals one uncached pass over the same tokens."""

import pytest
import torch
from torch.testing import assert_close

from transformer.models.bigram import Bigram
from transformer.models.parts.attention import ATTENTIONS, use_attention_in_steps
from transformer.models.parts.cache import Cache

pytestmark = pytest.mark.parity
B, T, V, BLOCK_SIZE = 3, 7, 13, 7
NUM_BLOCKS = 2

OPTIONS = [
    {},
    {"positions": "sinusoidal"},
    {"positions": "rotary"},
    {"positions": "none"},
    {"norm_first": False},
    {"activation": "swiglu", "bias": False},
    {"activation": "relu2"},
    {"positions": "rotary", "norm": "rmsnorm", "qk_norm": True},
    {"num_kv_heads": 1},
    {"num_heads": 6, "num_kv_heads": 2, "head_dim": 4, "positions": "rotary", "qk_norm": True},
    {"ngram_size": 2},
    {"ngram_size": 3, "ngram_buckets": 17},
    {"token_shift": True},
    {"ngram_size": 3, "token_shift": True, "positions": "rotary"},
]
each_option = pytest.mark.parametrize("options", OPTIONS, ids=str)
TYPES = [torch.float64, torch.float32]
each_type = pytest.mark.parametrize("dtype", TYPES, ids=str)


@pytest.fixture
def tokens(generator):
    return torch.randint(V, (B, T), generator=generator)


def num_bytes(cache):
    return sum(tensor.nbytes for block in cache.blocks for tensor in block.kept or ())


@each_type
@each_option
@pytest.mark.parametrize("sizes", [(1,) * 7, (4, 1, 1, 1), (2, 3, 2), (7,)], ids=str)
@torch.no_grad()
def test_reading_in_pieces_equals_reading_at_once(
    make_gpt, options, dtype, sizes, tokens, same_logits
):
    model = make_gpt(**options).to(dtype)
    cache = model.make_cache(B)
    logits = [model(piece, cache=cache) for piece in tokens.split(sizes, dim=1)]
    same_logits(torch.cat(logits, dim=1), model(tokens), model)
    assert cache.lengths == [T] * B


@each_type
@each_option
@torch.no_grad()
def test_rows_of_different_lengths_go_on_each_from_its_own_end(
    make_gpt, options, dtype, tokens, same_logits
):
    """Read right-padded, then three tokens one at a time, then two at once."""
    model = make_gpt(**options).to(dtype)
    lengths = [1, 2, 2]
    cache = model.make_cache(B)
    model(tokens[:, : max(lengths)], cache=cache)
    cache.lengths = lengths
    got = []
    for start, size in ((0, 1), (1, 1), (2, 1), (3, 2)):
        new = [tokens[row, n + start : n + start + size] for row, n in enumerate(lengths)]
        got.append(model(torch.stack(new), cache=cache))
    for row, length in enumerate(lengths):
        alone = model(tokens[row : row + 1, : length + 5])[0, length:]
        same_logits(torch.cat(got, dim=1)[row], alone, model)


@torch.no_grad()
def test_a_row_that_is_put_in_goes_on_as_in_the_cache_it_came_from(make_gpt, tokens, same_logits):
    model = make_gpt(ngram_size=2, token_shift=True).double()
    cache, other = model.make_cache(B), model.make_cache(1)
    model(tokens[:, :4], cache=cache)
    model(tokens[:1, 4:6], cache=other)
    cache.put([1], other)
    assert cache.lengths == [4, 2, 4]
    logits = model(tokens[:, 6:], cache=cache)[:, 0]
    same_logits(logits[0], model(torch.cat((tokens[:1, :4], tokens[:1, 6:]), 1))[0, -1], model)
    same_logits(logits[1], model(torch.cat((tokens[:1, 4:6], tokens[1:2, 6:]), 1))[0, -1], model)


@each_option
@pytest.mark.parametrize("rows", [[2, 0, 0], [1], [2, 0]], ids=str)
@pytest.mark.parametrize("lengths", [[4, 4, 4], [1, 3, 4]], ids=str)
@torch.no_grad()
def test_rows_that_are_selected_go_on_each_from_what_it_had_read(
    make_gpt, options, rows, lengths, tokens, same_logits
):
    """In another order, several times, and not at all; by the token and two at once."""
    model = make_gpt(**options).double()
    cache = model.make_cache(B)
    model(tokens[:, :4], cache=cache)
    cache.lengths = lengths
    cache.select(torch.tensor(rows))
    assert cache.lengths == [lengths[row] for row in rows]
    new = tokens[: len(rows), 4:]
    got = torch.cat([model(piece, cache=cache) for piece in new.split((1, 2), dim=1)], dim=1)
    for place, row in enumerate(rows):
        read = torch.cat((tokens[row, : lengths[row]], new[place]))
        same_logits(got[place], model(read[None])[0, -3:], model)


@pytest.mark.parametrize("name", ATTENTIONS)
@torch.no_grad()
def test_steps_read_their_keys_by_the_attention_that_is_set(make_gpt, name, tokens, same_logits):
    model = make_gpt().double()
    taken = []
    with_name = ATTENTIONS[name]
    use_attention_in_steps(model, name)
    for block in model.blocks:
        assert block.attention.attend_step is with_name
        block.attention.attend_step = lambda *args: taken.append(1) or with_name(*args)
    cache = model.make_cache(B)
    logits = [model(piece, cache=cache) for piece in tokens.split(1, dim=1)]
    same_logits(torch.cat(logits, dim=1), model(tokens), model)
    assert len(taken) == len(logits) * len(model.blocks)


@pytest.mark.parametrize("training", [True, False])
@torch.no_grad()
def test_single_tokens_take_the_short_way_outside_training_alone(make_gpt, training, tokens):
    model = make_gpt(activation="swiglu").train(training)
    called = []
    for block in model.blocks:
        block.register_forward_hook(lambda *_: called.append(1))
    cache = model.make_cache(B)
    for piece in tokens.split(1, dim=1):
        model(piece, cache=cache)
    assert len(called) == (T * NUM_BLOCKS if training else 0)


@torch.no_grad()
def test_a_cleared_cache_is_as_good_as_new(make_gpt, float64, tokens, same_logits):
    model = make_gpt(ngram_size=3, token_shift=True)
    cache = model.make_cache(B)
    model(tokens.flip(1), cache=cache)
    size = num_bytes(cache)
    cache.clear()
    first, second = model(tokens[:, :3], cache=cache), model(tokens[:, 3:], cache=cache)
    same_logits(torch.cat((first, second), dim=1), model(tokens), model)
    assert num_bytes(cache) == size


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
@torch.no_grad()
def test_its_size_is_computed_from_the_shapes_and_does_not_grow(make_gpt, dtype, tokens):
    """Keys and values of C numbers, for each block, row and position of the context.

    On a CPU those of a bfloat16 model are kept in float32.
    """
    model = make_gpt().to(dtype)
    width = model.architecture["embedding_dim"]
    cache = model.make_cache(B)
    assert num_bytes(cache) == 0
    size = max(dtype.itemsize, torch.float32.itemsize)
    for piece in tokens.split(1, dim=1):
        model(piece, cache=cache)
        assert num_bytes(cache) == 2 * NUM_BLOCKS * B * width * BLOCK_SIZE * size


@torch.no_grad()
def test_more_tokens_than_the_context_are_refused(make_gpt, tokens):
    model = make_gpt()
    cache = model.make_cache(B)
    model(tokens[:, :5], cache=cache)
    with pytest.raises(ValueError, match="8 tokens, but block_size=7"):
        model(tokens[:, :3], cache=cache)


def test_other_rows_and_a_mask_beside_a_cache_are_refused(make_gpt, tokens):
    model = make_gpt()
    with pytest.raises(ValueError, match="3 rows for a cache of 2"):
        model(tokens, cache=model.make_cache(2))
    with pytest.raises(ValueError, match="give a mask or a cache, not both"):
        model(tokens, torch.ones(T, T, dtype=torch.bool), model.make_cache(B))


def test_a_bigram_model_has_a_cache_without_layers(tokens):
    model = Bigram(vocab_size=V, block_size=BLOCK_SIZE)
    torch.nn.init.normal_(model.next_token.weight)
    cache = model.make_cache(B)
    logits = [model(piece, cache=cache) for piece in tokens.split(2, dim=1)]
    assert torch.equal(torch.cat(logits, dim=1), model(tokens))
    assert num_bytes(cache) == 0
    assert cache.lengths == [T] * B


def test_tokens_before_are_the_rows_own_and_zero_where_there_are_none():
    cache = Cache(2, 7, 0)
    first, mask = cache.extend(torch.tensor([[1, 2, 3], [4, 5, 6]]), 2)
    assert first.tolist() == [[1, 2, 3], [4, 5, 6]]  # nothing was read before
    assert mask is None
    cache.lengths = [3, 1]
    second, mask = cache.extend(torch.tensor([[7], [8]]), 2)
    assert second.tolist() == [[2, 3, 7], [0, 4, 8]]
    assert mask[:, 0, 0].tolist() == [[True] * 4, [True, True, False, False]]


@torch.no_grad()
def test_a_cache_that_grows_gives_what_one_pass_gives_and_is_no_larger_than_the_window(
    make_gpt, float64, generator
):
    model = make_gpt(block_size=61).eval()
    tokens = torch.randint(V, (2, 61), generator=generator)
    expected, cache, rooms = model(tokens), model.make_cache(2), []
    for start, stop in ((0, 5), (5, 6), (6, 23), (23, 24), (24, 61)):
        logits = model(tokens[:, start:stop], cache=cache)
        assert_close(logits, expected[:, start:stop], rtol=0, atol=1e-10)
        rooms.append(cache.blocks[0].kept[0].shape[2])
    assert rooms == [16, 16, 32, 32, 61]


@pytest.mark.parametrize(("ours", "theirs"), [(3, 40), (40, 3)])
@torch.no_grad()
def test_rows_of_a_cache_with_more_or_less_room_take_the_place_of_others(
    make_gpt, float64, generator, ours, theirs
):
    model = make_gpt(block_size=61).eval()
    tokens = torch.randint(V, (2, 61), generator=generator)
    expected, cache, other = model(tokens), model.make_cache(2), model.make_cache(1)
    model(tokens[:, :ours], cache=cache)
    model(tokens[1:, :theirs], cache=other)
    cache.put([1], other)
    following = torch.stack((tokens[0, ours], tokens[1, theirs]))[:, None]
    wanted = torch.stack((expected[0, ours], expected[1, theirs]))
    assert_close(model(following, cache=cache)[:, 0], wanted, rtol=0, atol=1e-10)
