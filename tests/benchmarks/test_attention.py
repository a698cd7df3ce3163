"""The rule that chooses the attention, compared with the measured times."""

import json
from pathlib import Path

import pytest
import torch

from transformer.models.parts.attention import explicit_is_faster

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
FORMATS = {"bf16": torch.bfloat16, "float32": torch.float32}
FILE = RESULTS / "amd-epyc-avx512-bf16" / "attention.json"
ROWS = json.loads(FILE.read_text(encoding="utf-8"))["figures"]["seconds"]


def name_of(row):
    return f"{row['threads']} threads, {row['format']}, {row['context']} tokens"


@pytest.mark.parametrize("row", ROWS, ids=name_of)
def test_the_path_that_the_rule_names_is_hardly_slower_than_the_other(row):
    """Within a quarter: medians of two close figures on a shared machine."""
    query = torch.zeros(1, 1, row["context"], 1, dtype=FORMATS[row["format"]])
    named, other = "explicit", "fused"
    if not explicit_is_faster(query):
        named, other = other, named
    assert row[named] <= 1.25 * row[other]


def test_the_rule_was_measured_on_both_of_its_sides():
    sides = {
        explicit_is_faster(torch.zeros(1, 1, row["context"], 1, dtype=torch.bfloat16))
        for row in ROWS
        if row["format"] == "bf16"
    }
    assert sides == {True, False}
