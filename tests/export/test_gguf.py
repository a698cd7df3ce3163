"""A GGUF file computes in llama.cpp what the model computes here."""

import json
import unicodedata
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from tests.export.conftest import BLOCK_SIZE, CLASSES, TOKENIZERS
from tests.marks import first_fast
from transformer.data.tokenizers.bpe import BpeTokenizer
from transformer.data.tokenizers.characters import CharacterTokenizer
from transformer.export.hostile_texts import hostile_texts
from transformer.models.parts.layers import ACTIVATIONS
from transformer.system.errors import UserError

pytest.importorskip("gguf")
pytest.importorskip("xllamacpp")

CASES = [
    ("LlamaForCausalLM", "characters", {"num_kv_heads": 2}),
    ("GPT2LMHeadModel", "bpe", {}),
    ("Qwen3ForCausalLM", "bytes", {"num_kv_heads": 3, "tie_weights": False, "head_dim": 14}),
    ("LlamaForCausalLM", "bytes", {"rotary_scaling": [4.0, 1.0, 4.0, 16.0], "rotary_base": 500.0}),
    ("LlamaForCausalLM", "bpe", {"bias": True, "tie_weights": False, "norm_eps": 0.01}),
    ("GPT2LMHeadModel", "characters", {"tie_weights": False, "bias": False}),
    ("GPT2LMHeadModel", "bytes", {"feedforward_dim": 17, "norm_eps": 0.01}),
    ("Qwen3ForCausalLM", "characters", {"norm_eps": 1e-6}),
    ("Qwen3ForCausalLM", "bpe", {"num_kv_heads": 1, "rotary_base": 1e6}),
]
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
WIDE = {"embedding_dim": 64, "num_heads": 2}  # 32 divides them


def table_of_gelu(x):
    """As llama.cpp computes it: from float16 to float16."""
    return F.gelu(x.half().float(), approximate="tanh").half().float()


@pytest.fixture
def make_theirs(make_saved):
    """A model that computes gelu as llama.cpp does."""

    def make(*given, **changes):
        saved = make_saved(*given, **changes)
        for block in saved.model.blocks:
            if block.feedforward.activation is ACTIVATIONS["gelu_tanh"]:
                block.feedforward.activation = table_of_gelu
        return saved

    return make


@pytest.fixture
def loaded(make_saved, exported):
    """Exports a model, and gives it with what llama.cpp has loaded of it."""
    from transformer.export.gguf.reloaded import ReloadedFile

    def call(saved, **flags):
        path, lines = exported(saved, "model.gguf", "gguf", **flags)
        assert lines[1].startswith("loaded again by xllamacpp 20")
        return ReloadedFile(path), lines[1]

    return call


def header(path):
    from gguf import GGUFReader

    return {name: field.contents() for name, field in GGUFReader(path).fields.items()}


@pytest.mark.parity
@pytest.mark.parametrize(("name", "tokenizer", "changes"), first_fast(CASES, 3, several=True))
@torch.no_grad()
def test_probabilities_are_those_of_llama_cpp(
    make_theirs, loaded, name, tokenizer, changes, generator
):
    saved = make_theirs(name, tokenizer, **changes)
    theirs, compared = loaded(saved)
    assert f"logits at {BLOCK_SIZE - 1} positions" in compared  # it draws nothing after the last
    tokens = torch.randint(saved.tokenizer.vocab_size, (1, BLOCK_SIZE), generator=generator)
    ours = theirs.comparable(saved.model(tokens).double())
    # A number that is rounded otherwise in float32 can be in another row of the table, which moves
    # a few logits by 5e-4; without the table here, the median is 2e-4.
    measure = torch.median if name.startswith("GPT2") else torch.max
    assert measure((theirs.logits(tokens) - ours).abs()) < 3e-5 * ours.std()


@pytest.mark.slow
@pytest.mark.parity
@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.usefixtures("all_texts")
def test_200_greedy_tokens_and_their_text_are_those_of_llama_cpp(make_theirs, loaded, name):
    saved = make_theirs(name, "characters", block_size=300)
    theirs, compared = loaded(saved)
    assert "256 greedy tokens are the same, and so are ids and text of 1,000 hostile" in compared
    wanted = {"prompt": "To be", "n_predict": 200, "temperature": 0.0, "return_tokens": True}
    found = theirs._asked("/completion", wanted)
    first = torch.from_numpy(saved.tokenizer.encode("To be")).long()[None]
    ours = saved.model.generate(first, max_new_tokens=200, temperature=0.0)[0, 5:]
    assert found["tokens"] == ours.tolist()
    assert found["content"] == saved.tokenizer.decode(ours)
    assert found["stop_type"] == "limit"


@pytest.mark.parametrize(
    ("number_format", "most", "name"),
    first_fast(
        [("q8_0", 0.05, "LlamaForCausalLM"), ("f16", 1e-3, "GPT2LMHeadModel")], 1, several=True
    ),
)
@torch.no_grad()
def test_smaller_formats_lose_little(make_saved, loaded, number_format, most, name):
    """The feed-forward's width is padded to a multiple of 32, which changes nothing.

    A trained model loses far less than drawn weights, which enlarge each rounding. With the rows of
    queries and keys in a wrong order, it is 3.7 nats.
    """
    saved = make_saved(name, **WIDE, feedforward_dim=70)
    theirs, _ = loaded(saved, format=number_format)
    tokens = saved.model.generate(torch.tensor([[1]]), max_new_tokens=BLOCK_SIZE - 1)
    ours, found = theirs.comparable(saved.model(tokens).double()), theirs.logits(tokens)
    assert (ours.exp() * (ours - found)).sum(-1).mean() < most  # Kullback-Leibler divergence


@pytest.mark.parametrize("tokenizer", first_fast(TOKENIZERS))
def test_the_file_says_where_a_text_ends_and_that_nothing_comes_first(
    make_saved, exported, tokenizer
):
    saved = make_saved("LlamaForCausalLM", tokenizer)
    found = header(exported(saved, "model.gguf", "gguf")[0])
    names = found["tokenizer.ggml.tokens"]
    end = found["tokenizer.ggml.eos_token_id"]
    assert names[end] == "<|endoftext|>"
    assert not found["tokenizer.ggml.add_bos_token"]
    assert not found["tokenizer.ggml.add_eos_token"]
    assert found.get("tokenizer.ggml.suppress_tokens", []) == (
        [end] if saved.tokenizer.end_of_text is None else []
    )
    assert len(names) == saved.tokenizer.vocab_size + (saved.tokenizer.end_of_text is None)


@torch.no_grad()
def test_characters_get_an_end_that_the_model_never_writes(make_saved, loaded):
    """Without one, llama.cpp would take the character with the id 11 for the end."""
    saved = make_saved("LlamaForCausalLM")
    theirs, _ = loaded(saved)
    tokens = saved.model.generate(torch.tensor([[3]]), max_new_tokens=BLOCK_SIZE - 2)[0].tolist()
    for number in range(1, len(tokens), 7):
        of = {token["id"]: token["logprob"] for token in theirs._next(tokens[:number], 10**6)}
        assert of[saved.tokenizer.vocab_size] < max(of.values())
    assert saved.tokenizer.vocab_size > 11


def test_a_chat_is_the_text_that_was_said(make_saved, loaded):
    theirs, _ = loaded(make_saved("LlamaForCausalLM", "bytes"))
    said = [{"role": "user", "content": " To be,\n"}, {"role": "assistant", "content": "or"}]
    assert theirs._asked("/apply-template", {"messages": said})["prompt"] == " To be,\nor"


def test_unknown_characters_are_left_out_and_parts_of_known_ones_too(make_saved, loaded):
    saved = make_saved("LlamaForCausalLM")
    symbols = "".join(dict.fromkeys("\x00\n aé漢🙂\u2028" + saved.tokenizer.vocabulary))
    made = CharacterTokenizer(symbols[: saved.tokenizer.vocab_size])
    saved = replace(saved, tokenizer=made)
    theirs, _ = loaded(saved)
    for text in ("aéèa", "漢漣", "🙂🙃 🙂", "\u2028\u2029\x00", "è", "", "e\u0301 \uffff"):
        assert theirs.encode(text) == made.encode_known(text)[0].tolist()


def test_the_name_of_the_end_stays_text_unless_special_tokens_are_asked_for(make_saved, loaded):
    theirs, _ = loaded(make_saved("LlamaForCausalLM", "bytes"))
    assert theirs.encode("<|endoftext|>") == list(b"<|endoftext|>")
    asked = {"content": "<|endoftext|>"}
    assert theirs._asked("/tokenize", asked)["tokens"] == [256]  # as its prompts have it


def cut_as(name, spec):
    """The same pieces, cut in another way."""
    pre = [part for part in spec["pre_tokenizer"]["pretokenizers"] if part["type"] == "ByteLevel"]
    whole = pre[0] | {"use_regex": True}
    words = spec["pre_tokenizer"]["pretokenizers"][0]
    threes = words["pattern"]["Regex"].replace(r"|\p{N}|", r"|\p{N}{1,3}|")
    llama = words | {"pattern": {"Regex": threes}}
    digits = {"type": "Digits", "individual_digits": True}
    return {
        "gpt-2": whole,
        "smollm": {"type": "Sequence", "pretokenizers": [digits, whole]},
        "llama-bpe": {"type": "Sequence", "pretokenizers": [llama, *pre]},
        "qwen2": spec["pre_tokenizer"],
    }[name]


def retold(tokenizer, **changes):
    spec = json.loads(json.dumps(tokenizer.spec))
    spec["model"] |= changes.pop("model", {})
    return BpeTokenizer(spec | changes)


def newer(text):
    return any(unicodedata.category(character) == "Cn" for character in text)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["qwen2", "gpt-2", "smollm", "llama-bpe"])
def test_each_way_of_cutting_words_gives_the_same_ids_in_llama_cpp(make_saved, loaded, name):
    texts = hostile_texts(CharacterTokenizer("abc \n"), 1000) + ["don't WE'LL 'st 12345 ſt"] * 5
    learned = BpeTokenizer.from_text("\n".join(texts * 2), vocab_size=2000)
    made = retold(
        learned,
        pre_tokenizer=cut_as(name, learned.spec),
        model={"ignore_merges": name == "llama-bpe"},
    )
    saved = make_saved("LlamaForCausalLM", vocab_size=made.vocab_size)
    theirs, _ = loaded(replace(saved, tokenizer=made))
    # The documented difference: letters that are newer than the tables of one of the two.
    known = (text for text in texts if not newer(text))
    for text in [*known, "a . b ? c's 'x"]:
        ids = made.encode(text).tolist()
        assert theirs.encode(text) == ids
        assert theirs.decode(ids) == made.decode(ids)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"normalizer": {"type": "NFC"}}, "normalizes a text first"),
        ({"model": {"ignore_merges": True}}, "ignore_merges"),
        (
            {"pre_tokenizer": BYTES},
            "does not know how it cuts a text into words .ByteLevel false",
        ),
    ],
)
def test_a_tokenizer_that_llama_cpp_does_not_know_is_refused(make_saved, exported, changes, words):
    saved = make_saved(tokenizer="bpe")
    saved = replace(saved, tokenizer=retold(saved.tokenizer, **changes))
    with pytest.raises(UserError, match=words):
        exported(saved, "model.gguf", "gguf")


@pytest.mark.parametrize(
    ("name", "changes", "flags", "words"),
    [
        ("GPT2LMHeadModel", {"activation": "gelu"}, {}, "gpt2 has activation gelu_tanh alone, and"),
        ("GPT2LMHeadModel", {"activation": "relu"}, {}, "this model has relu: export it with"),
        (
            "Qwen3ForCausalLM",
            {"rotary_scaling": [4.0, 1.0, 4.0, 16.0]},
            {},
            r"rotary_scaling none alone, and this model has \[4.0, 1",
        ),
        ("LlamaForCausalLM", {}, {"format": "q8_0"}, "not divide embedding_dim=24: give `format"),
        (
            "LlamaForCausalLM",
            WIDE | {"head_dim": 24},
            {"format": "q8_0"},
            r"not divide num_heads \* head_dim=48",
        ),
        ("LlamaForCausalLM", {"ngram_size": 2}, {}, "ngram_size 2"),
        ("LlamaForCausalLM", {"block_size": 1}, {}, "2 tokens or more, got block_size=1: export"),
    ],
)
def test_what_llama_cpp_lacks_is_refused_by_name_and_nothing_is_left(
    make_saved, exported, tmp_path, name, changes, flags, words
):
    with pytest.raises(UserError, match=words):
        exported(make_saved(name, **changes), "model.gguf", "gguf", **flags)
    assert list(tmp_path.iterdir()) == []


@torch.no_grad()
def test_a_weight_that_float16_cannot_hold_is_named(make_saved, exported, tmp_path):
    saved = make_saved("LlamaForCausalLM", "bytes")
    saved.model.blocks[0].attention.output.weight[0, 0] = 1e5
    with pytest.raises(UserError, match=r"a weight of 1e\+05 is too large for float16 .*f32"):
        exported(saved, "model.gguf", "gguf", format="f16")
    assert list(tmp_path.iterdir()) == []


def test_without_llama_cpp_it_says_how_to_get_it(make_saved, exported, monkeypatch):
    monkeypatch.setattr("transformer.export.formats.base.installed", lambda package: None)
    path, (_, second) = exported(make_saved("LlamaForCausalLM"), "model.gguf", "gguf")
    assert path.is_file()
    assert second.startswith("not compared: xllamacpp, which would load it, is not installed here")
    assert "pip install xllamacpp and export again" in second
