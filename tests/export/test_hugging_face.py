"""An exported folder computes in transformers what the model computes here, and comes back."""

import json
from dataclasses import replace
from itertools import product

import pytest
import torch
from safetensors.torch import load_file

from tests.export.conftest import BLOCK_SIZE, CLASSES, TOKENIZERS
from tests.marks import first_fast
from transformer.data.tokenizers.characters import CharacterTokenizer
from transformer.data.tokenizers.hugging_face import same_tokenizer
from transformer.export.exporting import export
from transformer.export.hugging_face.reloaded import ReloadedFolder
from transformer.storage.model_file import load_model
from transformer.storage.pretrained.folder import read_pretrained

GROUPED = [{}, {"num_kv_heads": 2}]
CASES = [
    (name, tokenizer, {"tie_weights": tied} | grouped)
    for tokenizer, tied, name in product(TOKENIZERS, (True, False), CLASSES)
    for grouped in (GROUPED[:1] if name == "GPT2LMHeadModel" else GROUPED)
]
OTHERS = [
    ("GPT2LMHeadModel", "bytes", {"activation": "gelu", "bias": False}),
    ("GPT2LMHeadModel", "bpe", {"feedforward_dim": 17, "norm_eps": 0.01, "activation": "relu"}),
    ("LlamaForCausalLM", "bpe", {"bias": True, "num_kv_heads": 3}),
    ("LlamaForCausalLM", "bytes", {"rotary_scaling": [4.0, 1.0, 4.0, 16.0], "rotary_base": 500.0}),
    ("Qwen3ForCausalLM", "bytes", {"head_dim": 14, "norm_eps": 1e-6, "num_kv_heads": 1}),
]


@pytest.mark.parity
@pytest.mark.parametrize(
    ("name", "tokenizer", "changes"), first_fast([*CASES[2:5], *OTHERS, *CASES], 5, several=True)
)
@pytest.mark.usefixtures("all_float64")
@torch.no_grad()
def test_logits_are_those_of_transformers_in_float64(
    make_saved, exported, name, tokenizer, changes
):
    saved = make_saved(name, tokenizer, **changes)
    folder, (what, _) = exported(saved)
    assert f"a {name} with" in what
    tokens = torch.randint(saved.tokenizer.vocab_size, (3, BLOCK_SIZE))
    ours, theirs = saved.model(tokens), ReloadedFolder(folder).model(tokens).logits
    assert ours.std() > 0.3  # otherwise closeness would say little
    assert (ours - theirs).abs().max() < 1e-10
    # And back again: to the last bit, but for the zeros of biases that it lacks here.
    back = load_model(folder)
    assert back.tokenizer.state == saved.tokenizer.state
    found, expected = back.model.state_dict(), saved.model.state_dict()
    assert all(torch.equal(found.pop(key), expected[key]) for key in expected)
    assert not any(tensor.any() for tensor in found.values())


@pytest.mark.slow
@pytest.mark.parity
@pytest.mark.parametrize(("name", "tokenizer", "changes"), [*CASES, *OTHERS])
def test_float32_figures_of_an_export_are_within_the_bound(
    make_saved, exported, all_texts, name, tokenizer, changes
):
    saved = make_saved(name, tokenizer, block_size=300, **changes)
    with torch.no_grad():  # as drawn, attention is so sharp that roundings of angles grow large
        for parameter in saved.model.parameters():
            parameter *= 0.5 if parameter.ndim == 2 else 1
    _, (_, compared) = exported(saved)
    assert compared.startswith("loaded again by transformers 5")
    assert "logits at 256 positions differ by" in compared
    assert " greedy tokens are the same, and so are ids and text of 1,000 hostile" in compared


@pytest.mark.slow
@pytest.mark.parity
@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.usefixtures("all_float64")
def test_256_greedy_tokens_are_those_of_transformers(make_saved, exported, name):
    saved = make_saved(name, "bpe", block_size=300)
    folder, (_, compared) = exported(saved)
    assert "256 greedy tokens are the same" in compared
    ours = saved.model.generate(torch.tensor([[5, 7]]), max_new_tokens=256, temperature=0.0)
    assert ours[0, 2:].tolist() == ReloadedFolder(folder).continued([5, 7], 256)


@pytest.mark.parametrize("name", first_fast(CLASSES))
def test_out_and_in_and_out_again_gives_the_same_bytes(make_saved, exported, name):
    saved = make_saved(name, "bpe")
    folder, _ = exported(saved)
    again, _ = exported(load_model(folder), "again")
    for file in ("model.safetensors", "config.json", "tokenizer.json", "generation_config.json"):
        assert (folder / file).read_bytes() == (again / file).read_bytes()


def test_a_tied_head_is_stored_once(make_saved, exported):
    folder, _ = exported(make_saved(tie_weights=True))
    assert "lm_head.weight" not in load_file(folder / "model.safetensors")
    folder, _ = exported(make_saved(tie_weights=False), "untied")
    assert "lm_head.weight" in load_file(folder / "model.safetensors")


@pytest.mark.parametrize("tokenizer", first_fast(TOKENIZERS))
def test_what_transformers_saves_again_comes_home(make_saved, exported, tmp_path, tokenizer):
    """Trained on elsewhere: its tokenizer is still known for what it is."""
    saved = make_saved("LlamaForCausalLM", tokenizer)
    theirs = ReloadedFolder(exported(saved)[0])
    theirs.model.save_pretrained(tmp_path / "theirs")
    theirs.tokenizer.save_pretrained(tmp_path / "theirs")
    back = read_pretrained(tmp_path / "theirs")
    assert type(back.tokenizer) is type(saved.tokenizer)
    assert same_tokenizer(back.tokenizer.spec, saved.tokenizer.spec)
    assert all(
        torch.equal(mine, saved.model.state_dict()[key])
        for key, mine in back.model().state_dict().items()
    )


def test_by_default_transformers_draws_as_generate_py_does_to_the_end_of_the_context(
    make_saved, exported
):
    folder, _ = exported(make_saved(tokenizer="bytes"))
    model = ReloadedFolder(folder).model
    assert (model.generation_config.temperature, model.generation_config.do_sample) == (0.8, True)
    torch.manual_seed(0)
    rows = model.generate(torch.tensor([[65, 66]]))
    ended = 256 in rows[0]
    assert rows.shape[1] == BLOCK_SIZE or ended


def test_half_characters_are_refused_by_transformers_alone(make_saved, exported):
    """The documented difference: a str of Python may hold what no UTF-8 can."""
    saved = make_saved(tokenizer="bytes")
    theirs = ReloadedFolder(exported(saved)[0])
    assert saved.tokenizer.encode("a\udcff").tolist() == [97, 255]
    with pytest.raises((TypeError, ValueError)):
        theirs.encode("a\udcff")


def test_the_name_of_a_special_token_stays_text(make_saved, exported):
    theirs = ReloadedFolder(exported(make_saved(tokenizer="bytes"))[0])
    assert theirs.encode("<|endoftext|>") == list(b"<|endoftext|>")
    assert theirs.tokenizer.eos_token_id == 256


def test_a_tokenizer_that_puts_tokens_before_a_text_no_longer_does(make_saved, exported):
    """Llama 3's has such a step; this program has never taken it, nor did the model see it."""
    from transformer.data.tokenizers.bpe import BpeTokenizer

    saved = make_saved(tokenizer="bpe")
    spec = json.loads(json.dumps(saved.tokenizer.spec))
    first = {"SpecialToken": {"id": "<|endoftext|>", "type_id": 0}}
    text = {"Sequence": {"id": "A", "type_id": 0}}
    spec["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [first, text],
        "pair": [first, text],
        "special_tokens": {
            "<|endoftext|>": {"id": "<|endoftext|>", "ids": [0], "tokens": ["<|endoftext|>"]}
        },
    }
    saved = replace(saved, tokenizer=BpeTokenizer(spec))
    folder, _ = exported(saved)
    assert ReloadedFolder(folder).encode("To be") == saved.tokenizer.encode("To be").tolist()


def test_the_card_has_data_losses_and_commands_but_no_folders_of_the_maker(make_saved, exported):
    folder, _ = exported(make_saved())
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\nlibrary_name: transformers\n")
    assert "| text | book.txt |" in card
    assert "| validation loss (nats per token) | 1.5000 |" in card
    assert "python export.py --to huggingface --out out\n" in card
    assert "data_path: book.txt\n" in card
    assert "someone" not in card
    (code,) = card.split("```python\n")[1:]
    code = code.split("```")[0].replace("'out'", repr(str(folder)))
    compile(code, "card", "exec")


def test_a_model_without_facts_has_a_card_too(make_saved, exported):
    saved = replace(make_saved(), config={}, corpus={}, results={})
    card = (exported(saved)[0] / "README.md").read_text(encoding="utf-8")
    assert "Data" not in card
    assert "Export" in card


def test_the_vocabulary_may_hold_any_character(make_saved, exported):
    saved = make_saved()
    made = CharacterTokenizer('\x00\n "\\\u2028\ufeff\U0010ffff' + saved.tokenizer.vocabulary[8:])
    folder, _ = exported(replace(saved, tokenizer=made))
    assert read_pretrained(folder).tokenizer.state == made.state


def test_export_yields_nothing_before_the_folder_is_in_place(make_saved, tmp_path):
    from transformer.export.options import ExportOptions
    from transformer.export.registry import FORMATS

    kind = FORMATS["huggingface"](ExportOptions(to="huggingface", out=str(tmp_path / "out")))
    lines = export(make_saved(), kind, kind.place(tmp_path / "out", force=False))
    assert not (tmp_path / "out").exists()
    next(lines)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(kind.place.names)
