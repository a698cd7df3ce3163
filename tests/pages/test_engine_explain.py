"""What the page says of a text, beside explain.py's explanation and computations with hooks."""

import math

import pytest
import torch

from tests.pages.node import needs_node
from transformer.data.tokenizers.characters import CharacterTokenizer
from transformer.inspection.explanation import explain_text

pytestmark = [pytest.mark.parity, needs_node]
LETTERS = "abcdefghijklm"  # 13, whose ids are their places
TEXT = [2, 5, 2, 5, 11, 2, 5, 0, 11, 2, 7]  # longer than the window of 9
BOUND = 1e-4
SHAPE = {"positions": "rotary", "block_size": 9, "num_kv_heads": 1, "tie_weights": False}


@pytest.fixture
def gpt(make_gpt):
    return make_gpt(**SHAPE)


def explained(model, ids):
    text = "".join(LETTERS[id_] for id_ in ids)
    return explain_text(model, CharacterTokenizer(LETTERS), text)


def assert_same(result, expected):
    """`expected` is an Explanation of Python; the engine names a piece by its id."""
    surprises = [unit.surprise for unit in expected.units]
    assert result["surprises"][0] is surprises[0] is None
    assert result["surprises"][1:] == pytest.approx(surprises[1:], abs=BOUND)
    assert result["mean"] == pytest.approx(expected.mean_surprise, abs=BOUND)
    assert result["loss"] == pytest.approx(expected.mean_surprise * math.log(2), abs=BOUND)
    for places, unit in zip(result["alternatives"], expected.units, strict=True):
        assert [LETTERS[id_] for id_, *_ in places] == [name for name, _ in unit.alternatives]
        shares = [share for _, share in unit.alternatives]
        assert [p for *_, p in places] == pytest.approx(shares, abs=BOUND)
    attention = torch.tensor(result["attention"]).view(expected.attention.shape)
    assert (attention - torch.from_numpy(expected.attention)).abs().max() < BOUND
    entropy = torch.tensor(result["entropy"], dtype=torch.float64)
    assert (entropy - torch.from_numpy(expected.entropy)).abs().max() < BOUND


def test_an_explanation_is_that_of_python_for_the_last_tokens_of_a_text(job, make_gpt):
    options = [SHAPE, SHAPE | {"norm_first": False, "ngram_size": 3, "token_shift": True}]
    models = [make_gpt(**each) for each in options]
    for model in models:
        job.call(job.add_model(model), "explain", TEXT)
    for model, result in zip(models, job.run(), strict=True):
        assert_same(result["result"], explained(model, TEXT))
        assert result["result"]["first"] == 2
        assert result["result"]["pieces"] == [str(id_) for id_ in TEXT[2:]]


def test_what_is_kept_from_key_to_key_changes_no_explanation(job, make_gpt):
    """Typed on, cut, changed at the start and in the middle: as if each were the first text."""
    model = make_gpt(**SHAPE | {"ngram_size": 3, "token_shift": True})
    texts = [TEXT[:3], TEXT[:4], TEXT[:9], TEXT, TEXT[:2], [*TEXT[:4], 9, *TEXT[5:8]], TEXT[:1]]
    texts += [TEXT[:4], TEXT[:4]]
    typed = job.add_model(model)
    for text in texts:
        job.call(typed, "explain", text)
    for text in texts:
        job.call(job.add_model(model), "explain", text)
    results = [result["result"] for result in job.run()]
    for kept, fresh in zip(results[: len(texts)], results[len(texts) :], strict=True):
        assert [kept[name] for name in ("first", "pieces")] == [fresh["first"], fresh["pieces"]]
        assert kept["surprises"][1:] == pytest.approx(fresh["surprises"][1:], abs=1e-5)
        assert kept["attention"] == pytest.approx(fresh["attention"], abs=1e-5)
        places = [place for depth in kept["lens"] for place in depth]
        others = [place for depth in fresh["lens"] for place in depth]
        assert [one["id"] for one in places] == [one["id"] for one in others]


class Off:
    """Hooks that switch parts of a GPT off: a head's output is 0, a block passes x on."""

    def __init__(self, model, heads=(), blocks=()):
        width = model.settings.head_dim
        for block, head in heads:

            def silence(_, inputs, start=head * width):
                joined = inputs[0].clone()
                joined[..., start : start + width] = 0
                return (joined,)

            model.blocks[block].attention.output.register_forward_pre_hook(silence)
        for block in blocks:
            model.blocks[block].register_forward_hook(lambda _, inputs, __: inputs[0])


@pytest.mark.parametrize("norm_first", [True, False])
def test_parts_that_are_off_change_loss_and_text_as_in_python(job, make_gpt, norm_first):
    cases = [
        {"heads": [[0, 1]]},
        {"heads": [[1, 0], [1, 2], [0, 0]]},
        {"blocks": [0]},
        {"blocks": [0, 1]},
        {"heads": [[0, 2]], "blocks": [1]},
    ]
    options = SHAPE | {"norm_first": norm_first}
    number = job.add_model(make_gpt(**options))
    sampling = {"temperature": 0}
    for off in cases:
        job.call(number, "explain", TEXT[:9], {"off": off})
        job.call(number, "write", {"ids": TEXT, "count": 12, "sampling": sampling, "off": off})
    results = [result["result"] for result in job.run()]
    surprises = set()
    for off, found, written in zip(cases, results[::2], results[1::2], strict=True):
        model = make_gpt(**options)
        Off(model, **off)
        assert_same(found, explained(model, TEXT[:9]))
        surprises.add(round(found["mean"], 4))
        tokens = torch.tensor([TEXT])
        with torch.inference_mode():  # without a cache, whose steps call no hooks
            for _ in range(12):
                window = tokens[:, -window_length(tokens.shape[1], model.block_size) :]
                tokens = torch.cat((tokens, model(window)[:, -1].argmax(dim=1)[:, None]), dim=1)
        assert written["ids"] == tokens[0, len(TEXT) :].tolist()
    assert len(surprises) == len(cases)


def window_length(length, size):
    """Of a text that began with its last block_size tokens: see `decoding.loop`."""
    read = min(len(TEXT), size)
    for _ in range(length - len(TEXT)):
        read = read + 1 if read < size else size // 2 + 1
    return read


def test_the_lens_is_the_head_on_the_residual_stream_after_each_depth(job, make_gpt):
    for norm_first in (True, False):
        model = make_gpt(**SHAPE | {"norm_first": norm_first})
        job.call(job.add_model(model), "explain", TEXT[:9])
        streams = []
        model.dropout.register_forward_hook(lambda _, __, x, kept=streams: kept.append(x))
        for block in model.blocks:
            block.register_forward_hook(lambda _, __, x, kept=streams: kept.append(x))
        with torch.inference_mode():
            model(torch.tensor([TEXT[:9]]))
            expected = [model.lm_head(model.final_norm(x))[0].softmax(dim=1) for x in streams]
        lens = job.run()[-1]["result"]["lens"]
        assert len(lens) == len(expected) == 3
        for places, shares in zip(lens, expected, strict=True):
            assert [one["id"] for one in places] == shares.argmax(dim=1).tolist()
            assert [one["p"] for one in places] == pytest.approx(
                shares.amax(dim=1).tolist(), abs=BOUND
            )
            actual = [shares[t, TEXT[t + 1]].item() for t in range(8)]
            assert [one["actual"] for one in places[:-1]] == pytest.approx(actual, abs=BOUND)
            assert places[-1]["actual"] is None


def scores_of(weights, ids):
    """The three scores, from their formulas, for weights (T, T)."""
    places = range(2, len(ids))
    again = {t: [s + 1 for s in range(t - 1) if ids[s] == ids[t]] for t in range(len(ids))}
    again = {t: found for t, found in again.items() if found}
    return {
        "previous": sum(weights[t][t - 1] for t in places) / len(places),
        "first": sum(weights[t][0] for t in places) / len(places),
        "induction": sum(sum(weights[t][s] for s in found) for t, found in again.items())
        / len(again),
    }


def test_scores_of_heads_are_their_formulas(job, gpt):
    job.call(job.add_model(gpt), "explain", TEXT)
    (result,) = job.run()
    attention = torch.tensor(result["result"]["attention"]).view(2, 3, 9, 9)
    for block, heads in zip(attention, result["result"]["heads"], strict=True):
        for weights, found in zip(block, heads, strict=True):
            expected = scores_of(weights.tolist(), TEXT[-9:])
            assert found["scores"] == pytest.approx(expected, abs=1e-6)


def test_heads_made_to_read_in_a_pattern_get_its_name(job):
    """A head that reads evenly, and those of a short text, get none."""
    ids, length = [1, 2, 3, 1, 2, 3, 1, 2], 8

    def reading(place):
        rows = [[0.0] * (t + 1) for t in range(length)]
        for t, row in enumerate(rows):
            row[place(t)] = 1.0
        return rows

    maps = {
        "previous": reading(lambda t: max(0, t - 1)),
        "first": reading(lambda t: 0),
        "induction": reading(lambda t: t - 2 if t > 2 else t),
        None: [[1 / (t + 1)] * (t + 1) for t in range(length)],
    }
    for rows in maps.values():
        job.evaluate(f"patternOf({rows}, {ids})")
    job.evaluate("patternOf([[1], [0.5, 0.5]], [1, 1])")
    *found, short = [result["result"] for result in job.run()]
    assert [one["name"] for one in found] == list(maps)
    even = found[-1]
    assert even["scores"] == pytest.approx(even["even"])
    assert short["name"] is None
    assert short["scores"] == {"previous": None, "induction": None, "first": None}


def test_a_snapshot_is_explained_and_written_with_its_own_weights(job, make_gpt):
    model, early = make_gpt(**SHAPE), make_gpt(**SHAPE)
    with torch.no_grad():
        for parameter in early.parameters():
            parameter.mul_(0.5)
    number = job.add_model(model, snapshots=[early, model])
    writing = {"ids": TEXT, "count": 20, "sampling": {"temperature": 0}}
    for snapshot in (0, 1, None, 0):
        job.call(number, "explain", TEXT, {"snapshot": snapshot})
        job.call(number, "write", writing | {"snapshot": snapshot})
    job.call(number, "explain", TEXT, {"snapshot": 2})
    *results, missing = job.run()
    for place, expected in enumerate((early, model, model, early)):
        assert_same(results[2 * place]["result"], explained(expected, TEXT))
        tokens = expected.generate(torch.tensor([TEXT]), max_new_tokens=20, temperature=0.0)
        assert results[2 * place + 1]["result"]["ids"] == tokens[0, len(TEXT) :].tolist()
    assert missing["error"] == "there is no snapshot 2"


def test_a_text_without_tokens_and_numbers_that_are_not_finite_are_refused(job, make_gpt):
    broken = make_gpt()
    torch.nn.init.constant_(broken.lm_head.weight, math.nan)
    good, bad = job.add_model(make_gpt()), job.add_model(broken)
    job.call(good, "explain", [])
    job.call(good, "write", {"ids": [], "count": 3, "sampling": {}})
    job.call(bad, "explain", TEXT)
    job.call(bad, "write", {"ids": TEXT, "count": 3, "sampling": {}})
    empty = "the text is empty: give at least one character"
    broken = "the model's logits are not finite, so no token can be chosen"
    assert [result["error"] for result in job.run()] == [empty, empty, broken, broken]
