"""Snapshots of a run: the same bits come back, and every wrong file is told in one line."""

import json
import struct

import pytest
import torch

from transformer.storage.int8_rows import SCALES, quantized
from transformer.storage.metadata import SNAPSHOT, distinct_tensors, encode_metadata
from transformer.storage.model_file import load_model
from transformer.storage.snapshots import (
    Snapshot,
    delete_snapshot,
    list_snapshots,
    read,
    snapshot_steps,
    write_snapshot,
)
from transformer.storage.tensor_file import read_tensors, write_tensors
from transformer.system.errors import UserError


@pytest.fixture
def weights(make_gpt):
    return distinct_tensors(make_gpt().state_dict())


@pytest.fixture
def snapshot(tmp_path, weights):
    write_snapshot(tmp_path, 123, 2.5, quantized(weights))
    return list_snapshots(tmp_path)[0]


def refused(snapshot, reason, model=None):
    with pytest.raises(UserError, match=reason) as caught:
        read(snapshot, model and quantized(model))
    assert str(caught.value).startswith(str(snapshot.path))
    assert "\n" not in str(caught.value)


def test_snapshots_come_back_by_step_with_their_loss_and_their_bits(tmp_path, weights):
    assert list_snapshots(tmp_path) == []
    for step, loss in ((1_234_567, 0.1), (0, 4.2), (99, 2.0)):
        stored = quantized({name: tensor + loss for name, tensor in weights.items()})
        path = write_snapshot(tmp_path, step, loss, stored)
        assert path == tmp_path / "snapshots" / f"step-{step:06d}.safetensors"
        back = read(Snapshot(step, loss, path), quantized(weights))
        assert list(back) == sorted(stored)
        assert all(torch.equal(back[name], stored[name]) for name in stored)
    found = list_snapshots(tmp_path)
    assert [(each.step, each.loss) for each in found] == [(0, 4.2), (99, 2.0), (1_234_567, 0.1)]
    delete_snapshot(tmp_path, 99)
    delete_snapshot(tmp_path, 99)
    assert snapshot_steps(tmp_path) == [0, 1_234_567]


def test_the_same_moment_gives_the_same_file(tmp_path, weights):
    paths = [write_snapshot(tmp_path / name, 7, 1.5, quantized(weights)) for name in ("one", "two")]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_other_files_in_the_folder_are_no_snapshots(snapshot, tmp_path):
    for name in ("notes.txt", "step-1.safetensors", ".step-000124.safetensors.ab.tmp"):
        (snapshot.path.parent / name).write_text("no", encoding="utf-8")
    assert list_snapshots(tmp_path) == [snapshot]


@pytest.mark.parametrize("kept", [0, 1, 9, 0.01, 0.5, 0.99])
def test_a_truncated_file_is_refused(snapshot, tmp_path, kept):
    content = snapshot.path.read_bytes()
    size = kept if isinstance(kept, int) else int(kept * len(content))
    snapshot.path.write_bytes(content[:size])
    refused(snapshot, "damaged or not a snapshot of a run")
    with pytest.raises(UserError, match="damaged or not a snapshot of a run"):
        list_snapshots(tmp_path)


def test_a_changed_bit_is_found(snapshot):
    content = bytearray(snapshot.path.read_bytes())
    content[-5] ^= 1
    snapshot.path.write_bytes(content)
    refused(snapshot, "its content does not match its checksum")


@pytest.mark.parametrize(
    ("about", "reason"),
    [
        (None, "it has no 'snapshot'"),
        ({"step": 123}, "it has no 'loss'"),
        ({"step": 124, "loss": 1.0}, "its step is 124"),
        ({"step": True, "loss": 1.0}, "its step is True"),
        ({"step": "123", "loss": 1.0}, "its step is '123'"),
        ({"step": 123, "loss": float("nan")}, "its loss is nan"),
        ({"step": 123, "loss": None}, "its loss is None"),
        ([], "damaged or not a snapshot"),
        (7, "damaged or not a snapshot"),
    ],
    ids=str,
)
def test_a_file_that_says_no_step_and_loss_is_refused(snapshot, tmp_path, weights, about, reason):
    stored = quantized(weights)
    parts = {} if about is None else {SNAPSHOT: about}
    write_tensors(snapshot.path, stored, encode_metadata(parts, stored))
    with pytest.raises(UserError, match=reason) as caught:
        list_snapshots(tmp_path)
    assert str(caught.value).startswith(str(snapshot.path))


def test_deeply_nested_text_is_refused(snapshot, tmp_path):
    tensors, texts = read_tensors(snapshot.path)
    write_tensors(snapshot.path, tensors, texts | {SNAPSHOT: "[" * 100_000})
    with pytest.raises(UserError, match="damaged or not a snapshot"):
        list_snapshots(tmp_path)


def test_a_shape_beyond_the_file_is_refused(snapshot):
    data = snapshot.path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header["lm_head.bias" if "lm_head.bias" in header else "final_norm.weight"]["shape"] = [10**12]
    text = json.dumps(header).encode()
    snapshot.path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])
    refused(snapshot, "damaged or not a snapshot")


def test_tensors_of_another_model_are_refused(snapshot, weights, make_gpt):
    assert read(snapshot, quantized(weights))
    refused(snapshot, "not expected", distinct_tensors(make_gpt(num_blocks=1).state_dict()))
    refused(snapshot, "is missing", distinct_tensors(make_gpt(num_blocks=3).state_dict()))
    refused(snapshot, "has shape", distinct_tensors(make_gpt(block_size=11).state_dict()))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda stored, name: {name: stored[name].float()}, "or needs none"),
        (lambda stored, name: {name + SCALES: stored[name + SCALES].double()}, "no scale for each"),
        (lambda stored, name: {name + SCALES: stored[name + SCALES] / 0}, "not finite"),
        (lambda stored, name: {"other" + SCALES: torch.ones(2)}, "has no tensor"),
        (lambda stored, name: {"final_norm.weight": torch.ones(30).double()}, "is torch.float64"),
    ],
)
def test_tensors_that_fit_no_model_are_refused_whatever_the_checksum(
    snapshot, weights, change, reason
):
    stored = quantized(weights)
    stored |= change(stored, "token_embedding.weight")
    write_snapshot(snapshot.path.parent.parent, snapshot.step, snapshot.loss, stored)
    refused(snapshot, reason, weights)


def test_a_snapshot_that_is_gone_is_told(snapshot):
    snapshot.path.unlink()
    refused(snapshot, "No such file")


def test_a_snapshot_is_no_model(snapshot):
    with pytest.raises(UserError, match=r"a snapshot of a run.*name the run"):
        load_model(snapshot.path)
