"""evaluate.py and generate.py with several models, through the command line."""

import json

import pytest
import torch

import evaluate
import generate
from transformer.data.tokenizers.characters import CharacterTokenizer
from transformer.models import build_model
from transformer.storage.model_file import load_model, save_model
from transformer.system.errors import UserError


@pytest.fixture
def trained(finished):
    return load_model(finished.folder / "model.safetensors")


@pytest.fixture
def keep(tmp_path, trained, short_runs):
    """Writes a model like the trained one: as another seed may have made it, or changed so."""

    def write(name, seed=1, block_size=16, tokenizer=None, **corpus):
        generator = torch.Generator().manual_seed(seed)
        architecture = trained.architecture | {"block_size": block_size}
        model = build_model(**architecture)
        weights = trained.model.state_dict()
        for key, tensor in model.state_dict().items():
            noise = torch.randn(tensor.shape, generator=generator)
            tensor.copy_(weights[key][: len(tensor)] + 0.1 * noise)
        path = tmp_path / f"{name}.safetensors"
        tokenizer = tokenizer or trained.tokenizer
        save_model(
            path,
            model,
            {
                "architecture": architecture,
                "tokenizer": tokenizer.state,
                "config": trained.config,
                "corpus": trained.corpus | corpus,
            },
        )
        return path

    return write


@pytest.fixture
def models(keep):
    """Of other seeds on one text; the last has a smaller block_size."""
    return [keep("first"), keep("second", seed=2), keep("short", seed=3, block_size=11)]


def scores_of(call, *flags):
    return json.loads(call(evaluate, *flags, "--json"))["scores"]


def test_each_model_their_mean_and_their_average_are_reported(call, models):
    first, second, short = models
    alone = [scores_of(call, model)["model"] for model in (first, second)]
    found = scores_of(call, first, second)
    assert [found["model 1"], found["model 2"]] == alone
    assert list(found)[:4] == ["model 1", "model 2", "their mean", "averaged"]
    losses = [found[f"model {number}"]["loss"] for number in (1, 2)]
    assert found["their mean"]["loss"] == pytest.approx(sum(losses) / 2)
    assert found["averaged"]["loss"] < found["their mean"]["loss"]
    assert "bigram" in found
    # With the smallest block_size, all windows have its length.
    found = scores_of(call, first, short)
    assert found["model 2"] == scores_of(call, short)["model"]
    assert found["model 1"]["loss"] != alone[0]["loss"]
    table = call(evaluate, *models)
    assert "their mean" in table
    assert "averaged predicts with the mean" in table
    assert table.startswith(f"{first} + {second} + {short} on hamlet.txt (validation, ")


def test_the_same_model_twice_is_that_model(call, models):
    first, *_ = models
    found = scores_of(call, first, first)
    assert found["averaged"]["loss"] == pytest.approx(found["model 1"]["loss"], rel=1e-6)
    flags = ("--prompt", "To ", "--max_new_tokens", 40, "--precision", "float32", "--seed", 3)
    alone = call(generate, first, *flags)
    assert call(generate, first, first, *flags) == alone


def test_the_text_is_drawn_from_the_mean_of_probabilities(call, models):
    """Longer than the windows of both models; each score is the mean of what each gives alone."""
    first, second, _ = models
    flags = ("--prompt", "To ", "--max_new_tokens", 12, "--precision", "float32", "--seed", 3)
    line = json.loads(call(generate, first, second, *flags, "--json"))
    written = line["prompt"] + line["text"]
    saved = [load_model(model) for model in (first, second)]
    tokens = torch.from_numpy(saved[0].tokenizer.encode(written)).long()[None]
    with torch.no_grad():
        both = [one.model(tokens[:, :-1]).double().softmax(dim=-1) for one in saved]
    expected = (sum(both) / 2).log()[0].gather(1, tokens[0, 1:, None]).flatten()[-12:]
    assert line["log_probabilities"] == pytest.approx(expected.tolist(), abs=1e-5)


def test_minimal_pairs_are_scored_by_each_and_by_the_average(call, models, tmp_path):
    (tmp_path / "pairs.tsv").write_text("To be\tbe To\nTo die\tdie To\n", encoding="utf-8")
    found = scores_of(call, *models[:2], "--minimal_pairs", "pairs.tsv")
    assert list(found) == ["model 1", "model 2", "averaged", "bigram"]


def test_models_of_other_tokenizers_are_refused_by_both_names(models, keep, trained):
    other = keep("other", tokenizer=CharacterTokenizer(trained.tokenizer.vocabulary[::-1]))
    message = f"^{models[0]} has a tokenizer of 42 characters, but {other} has another, of 42 char"
    for script in (evaluate, generate):
        with pytest.raises(UserError, match=message):
            script.main([str(models[0]), str(other)])


def test_models_of_other_texts_have_no_text_of_their_own(call, models, keep):
    other = keep("other", sha256="another")
    with pytest.raises(UserError, match="does not name its training data: give --data_path"):
        evaluate.main([str(models[0]), str(other)])
    flags = ("--data_path", "hamlet.txt", "--json")
    report = json.loads(call(evaluate, models[0], other, *flags))
    assert report["split"] == "whole file"
    assert list(report["scores"]) == ["model 1", "model 2", "their mean", "averaged"]


def test_facts_are_of_one_model(models):
    with pytest.raises(UserError, match="--info describes one model, and 2 are named"):
        generate.main([str(models[0]), str(models[1]), "--info"])
