"""Preferences by an exported model in transformers, one sentence at a time, beside ours."""

import random

import numpy as np
import pytest
import torch

from tests.command_line.conftest import TEXT
from transformer.evaluation.minimal_pairs.report import report_on_minimal_pairs
from transformer.evaluation.options import EvaluateOptions
from transformer.export.hugging_face.reloaded import ReloadedFolder

NUM_PAIRS = 1000
LEAST_EQUAL = 999  # float32 adds up in other orders in the two programs


def swapped_pairs():
    """Lines of a text, and the same lines with two words in each other's place."""
    choose = random.Random(0)
    lines = [line.split() for line in TEXT.splitlines()]
    pairs = []
    while len(pairs) < NUM_PAIRS:
        line = choose.choice(lines)
        first = choose.randrange(len(line) - 3)
        words = line[first : first + 4]
        one, two = choose.sample(range(4), 2)
        other = [*words]
        other[one], other[two] = other[two], other[one]
        if other != words:
            pairs.append((" ".join(words), " ".join(other)))
    return pairs


@torch.no_grad()
def log_likelihood(model, begin, ids):
    logits = model(torch.tensor([[*begin, *ids]])).logits[0, :-1].log_softmax(dim=-1)
    return logits[len(begin) - 1 :].gather(1, torch.tensor(ids)[:, None]).double().sum().item()


@pytest.mark.slow
@pytest.mark.parity
@pytest.mark.parametrize(
    ("name", "tokenizer"),
    [
        ("GPT2LMHeadModel", "characters"),
        ("LlamaForCausalLM", "bpe"),
        ("Qwen3ForCausalLM", "bytes"),
    ],
)
def test_choices_are_those_of_transformers_log_likelihoods(
    make_saved, exported, tmp_path, name, tokenizer
):
    saved = make_saved(name, tokenizer, block_size=64)
    with torch.no_grad():  # as drawn, attention is so sharp that roundings of angles grow large
        for parameter in saved.model.parameters():
            parameter *= 0.5 if parameter.ndim == 2 else 1
    pairs = swapped_pairs()
    path = tmp_path / "pairs.tsv"
    path.write_text("".join(f"{one}\t{two}\n" for one, two in pairs), encoding="utf-8")
    report = report_on_minimal_pairs(saved, EvaluateOptions(minimal_pairs=str(path), device="cpu"))
    folder, _ = exported(saved)
    theirs = ReloadedFolder(folder)
    begin = theirs.encode("\n")
    assert report["begin"] == "\n"
    expected = np.array(
        [[log_likelihood(theirs.model, begin, theirs.encode(s)) for s in both] for both in pairs]
    )
    found = np.array([pair["log_probabilities"] for pair in report["each_pair"]])
    equal = np.sign(found[:, 0] - found[:, 1]) == np.sign(expected[:, 0] - expected[:, 1])
    differences = np.abs(expected[:, 0] - expected[:, 1])
    assert equal.sum() >= LEAST_EQUAL
    assert np.median(differences) > 0.1  # or equal choices would be hard to miss
    assert 100 < (expected[:, 0] > expected[:, 1]).sum() < 900
