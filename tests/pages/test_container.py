"""What a page holds is read back as it was, and damage is one clear error."""

import base64
import json
import re

import pytest
import torch

from tests.pages.node import Job, needs_node
from transformer.pages.live.packing import NUMBER_FORMATS, Packer, read_back, stored
from transformer.pages.template import as_json

pytestmark = needs_node
WEIGHTS = {
    "vector": torch.tensor([1.5, -2.25, 3e-8]),
    "matrix": torch.tensor([[0.1, -0.7, 5.0], [0.0, 0.0, 0.0], [1e30, -1e30, 3.0]]),
    "cube": torch.linspace(-1, 1, 2 * 3 * 5).reshape(2, 3, 5),
    "one": torch.tensor([[-0.3]]),
}


def page_parts(number_format="int8", num_snapshots=0, **facts):
    """The texts of the page's two elements."""
    packer = Packer()
    about = {"facts": facts, "tensors": packer.add(stored(WEIGHTS, number_format))}
    moments, rows = [], []
    for number in range(num_snapshots):
        moments.append({"step": number, "loss": 1.0, "start": packer.start})
        rows = packer.add(stored({n: w / (number + 2) for n, w in WEIGHTS.items()}, "int8"))
    rest = "," + as_json(about | {"snapshots": moments, "snapshot_tensors": rows})[1:]
    model = f'{{"crc32":{packer.checksum(rest)}{rest}'
    return model, base64.b64encode(packer.data).decode()


NUMBERS = """((texts) => {
  const container = openContainer(...texts);
  const numbers = (tensors) => Array.from(tensors, ([name, { shape, data, scales }]) => {
    const width = data.length / shape[0];
    return [name, shape, Array.from(data, (value, place) =>
      scales ? Math.fround(value * scales[Math.floor(place / width)]) : value)];
  });
  const moments = container.snapshots.map(({ step, tensors }) => [step, numbers(tensors)]);
  return [numbers(container.tensors), moments, container.facts];
})"""


def opened(folder, *pages):
    job = Job(folder)
    for parts in pages:
        job.evaluate(f"{NUMBERS}({json.dumps(parts)})")
    return job.run()


def as_weights(rows):
    return {name: torch.tensor(numbers).reshape(shape) for name, shape, numbers in rows}


def same(found, expected):
    return list(found) == list(expected) and all(
        torch.equal(found[name], expected[name]) for name in expected
    )


def test_numbers_and_snapshots_are_read_back_exactly(tmp_path):
    pages = [page_parts(name, num_snapshots=3) for name in NUMBER_FORMATS]
    for name, found in zip(NUMBER_FORMATS, opened(tmp_path, *pages), strict=True):
        tensors, moments, _ = found["result"]
        assert same(as_weights(tensors), read_back(WEIGHTS, name))
        for number, (step, rows) in enumerate(moments):
            halves = {n: w / (number + 2) for n, w in WEIGHTS.items()}
            assert step == number
            assert same(as_weights(rows), read_back(halves, "int8"))


def test_facts_with_any_characters_are_read_back_and_end_no_element(tmp_path):
    text = "</script><!--<script>\"'&\u2028\u2029\ud800\u202e\u0634🙂\\\x00"
    model, weights = page_parts(prompt=text)
    assert model.isascii()
    assert not re.search("[<>&]", model)
    (found,) = opened(tmp_path, (model, weights))
    assert found["result"][2]["prompt"] == text


@pytest.mark.parametrize("spaces", ["", "\n "])
def test_any_damage_is_one_clear_error(tmp_path, spaces):
    model, weights = page_parts("float32", num_snapshots=1, prompt="To be")
    other = "B" if weights[100] == "A" else "A"
    damaged = [
        (model, weights[:100] + other + weights[101:]),
        (model, weights[:-4]),
        (model, weights[:-1]),
        (model, weights[:100] + "é" + weights[101:]),
        (model, weights[:100] + "-" + weights[101:]),
        (model, ""),
        (model.replace("To be", "To bf"), weights),
        (model.replace("[3,3]", "[9,1]"), weights),
        (model[:-1], weights),
        (model[:200], weights),
        ("", weights),
        ("null", weights),
    ]
    whole = (spaces + model + spaces, spaces + weights + spaces)
    found = opened(tmp_path, whole, *damaged)
    assert "result" in found[0]
    errors = {one.get("error", "no error") for one in found[1:]}
    assert len(errors) == 1
    assert errors.pop().startswith("This file is damaged: it does not match its checksum.")
