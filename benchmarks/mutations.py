"""Spoils checkpoints and configs in many ways, and tells what came of it.

For hostile_files.py; hostile_folders.py uses a part of it, too.
"""

import argparse
import json
import math
import pickle
import random
import resource
import struct
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from record import save

# How many tries, and a folder for their files -> outcomes by kind of damage, and the faults.
TryAll = Callable[[int, Path], tuple[dict[str, Counter], list[str]]]


class RunsCode:
    """Creates the marker file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.marker,))


def truncated(data: bytes, draw: random.Random) -> bytes:
    return data[: draw.randrange(len(data))]


def with_flipped_bits(data: bytes, draw: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 8, 64))):
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def with_zeros(data: bytes, draw: random.Random) -> bytes:
    start = draw.randrange(len(data))
    length = min(draw.choice((1, 64, 4096)), len(data) - start)
    return data[:start] + bytes(length) + data[start + length :]


def with_a_part_twice(data: bytes, draw: random.Random) -> bytes:
    start, end = sorted(draw.randrange(len(data)) for _ in range(2))
    return data[:end] + data[start:]


BYTES: list[Callable[[bytes, random.Random], bytes]] = [
    truncated,
    with_flipped_bits,
    with_zeros,
    with_a_part_twice,
]


def change_tensors(tensors: dict[str, Any], draw: random.Random) -> dict[str, Any]:
    """Swaps, removes or adds a tensor, or changes its shape, its type or a number."""
    import torch

    changed = dict(tensors)
    name = draw.choice(list(changed))
    like = [n for n in changed if changed[n].shape == changed[name].shape and n != name]
    match draw.randrange(6):
        case 0 if like:
            other = draw.choice(like)
            changed[name], changed[other] = changed[other].clone(), changed[name].clone()
        case 1:
            del changed[name]
        case 2:
            changed["model.extra"] = torch.zeros(3)
        case 3:
            changed[name] = torch.zeros(2, 3)
        case 4:
            changed[name] = changed[name].double()
        case _:
            changed[name] = changed[name].clone()
            other = draw.choice((math.nan, math.inf, 1e30))
            changed[name].flatten()[0] = other if changed[name].is_floating_point() else 7
    return changed


def change_sizes(texts: dict[str, str], tensors: dict[str, Any], draw: random.Random) -> Any:
    """In half of the cases, changes an architecture; in half, makes the checksum fit."""
    from transformer.storage.metadata import CHECKSUM, checksum

    changed = dict(texts)
    if draw.random() < 0.5 and "architecture" in changed:
        architecture = json.loads(changed["architecture"])
        name = draw.choice(list(architecture))
        architecture[name] = draw.choice((0, -1, 7, 10**9, 10**30, 1.5, "x", None, [], {}, True))
        changed["architecture"] = json.dumps(architecture)
    if draw.random() < 0.5:
        del changed[CHECKSUM]
        changed[CHECKSUM] = checksum(changed, tensors)
    return changed


def hostile_ckpt(source: Path, path: Path, marker: Path, draw: random.Random) -> str:
    import torch

    from transformer.storage.metadata import model_tensors

    content = torch.load(source, weights_only=True)
    kind = draw.choice(("tensors", "code", "expanded", "packed", "texts", "pickle"))
    if kind == "tensors":
        weights = change_tensors(content["state_dict"], draw)
        texts = change_sizes(content["transformer"], model_tensors(weights), draw)
        torch.save(content | {"state_dict": weights, "transformer": texts}, path)
    elif kind == "code":
        place = draw.choice(("state_dict", "callbacks", "optimizer_states", "transformer"))
        torch.save(content | {place: RunsCode(marker)}, path)
    elif kind == "expanded":
        weights = content["state_dict"]
        name = draw.choice(list(weights))
        large = torch.zeros(1).expand(10 ** draw.randrange(6, 13))
        torch.save(content | {"state_dict": weights | {name: large}}, path)
    elif kind == "packed":
        with (
            zipfile.ZipFile(source) as old,
            zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new,
        ):
            for part in old.infolist():
                new.writestr(part.filename, old.read(part))
    elif kind == "texts":
        texts = dict(content["transformer"])
        name = draw.choice(list(texts))
        texts[name] = draw.choice(("", "{}", "[" * 10_000, "1e999", 7, None, texts[name] * 2))
        torch.save(content | {"transformer": texts}, path)
    else:
        path.write_bytes(pickle.dumps(RunsCode(marker)))
    return f"ckpt: {kind}"


def hostile_safetensors(source: Path, path: Path, draw: random.Random) -> str:
    from safetensors import safe_open
    from safetensors.torch import save_file

    data = source.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    kind = draw.choice(("tensors", "header length", "shape", "texts"))
    if kind == "tensors":
        with safe_open(source, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            texts = file.metadata()
        tensors = change_tensors(tensors, draw)
        save_file(tensors, path, change_sizes(texts, tensors, draw))
        return f"safetensors: {kind}"
    header = json.loads(data[8 : 8 + length])
    if kind == "header length":
        path.write_bytes(struct.pack("<Q", 2 ** draw.randrange(20, 64)) + data[8:])
        return f"safetensors: {kind}"
    if kind == "shape":
        name = draw.choice([n for n in header if n != "__metadata__"])
        header[name]["shape"] = [10 ** draw.randrange(3, 13)] * len(header[name]["shape"])
    else:
        name = draw.choice(list(header["__metadata__"]))
        header["__metadata__"][name] = draw.choice(("", "{}", "[" * 10_000, "1e999", "null"))
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])
    return f"safetensors: {kind}"


BOMB = "a: &a [x, x]\n" + "".join(
    f"b{n}: &b{n} [*{'a' if not n else f'b{n - 1}'}, *a]\n" for n in range(99)
)
CONFIGS = (
    BOMB,
    "batch_size: !!python/object/apply:os.system ['touch MARKER']\n",
    "? [a, b]\n: 1\n",
    "batch_size: " + "9" * 5000 + "\n",
    "lr: .nan\n",
    "{" * 5000,
    "- " * 5000,
    "\ufeff\x00",
    "a: *a\n",
    "a: &a\n  <<: *a\n",
)


def hostile_config(source: Path, path: Path, marker: Path, draw: random.Random) -> str:
    if draw.random() < 0.2:
        text = draw.choice(CONFIGS).replace("MARKER", str(marker))
        path.write_text(text, encoding="utf-8")
        return "config: written"
    path.write_bytes(draw.choice(BYTES)(source.read_bytes(), draw))
    return "config: bytes"


def make(number: int, sources: dict[str, Path], home: Path) -> tuple[Path, str, Path]:
    """Returns a spoiled file, its kind, and the file that exists only if code was run."""
    draw = random.Random(number)
    suffix = draw.choice((".ckpt", ".safetensors", ".yaml"))
    path, marker = home / f"{number}{suffix}", home / f"{number}.marker"
    if suffix == ".yaml":
        return path, hostile_config(sources[suffix], path, marker, draw), marker
    if draw.random() < 0.5:
        path.write_bytes(draw.choice(BYTES)(sources[suffix].read_bytes(), draw))
        return path, f"{suffix[1:]}: bytes", marker
    if suffix == ".ckpt":
        return path, hostile_ckpt(sources[suffix], path, marker, draw), marker
    return path, hostile_safetensors(sources[suffix], path, draw), marker


def make_snapshot(number: int, source: Path, run: Path) -> tuple[Path, str]:
    """Returns a spoiled snapshot in the folder of a run, and its kind."""
    draw = random.Random(number)
    path = run / source.parent.name / source.name
    path.parent.mkdir(parents=True, exist_ok=True)
    if draw.random() < 0.5:
        path.write_bytes(draw.choice(BYTES)(source.read_bytes(), draw))
        return path, "snapshot: bytes"
    return path, hostile_safetensors(source, path, draw).replace("safetensors", "snapshot")


def report(name: str, description: str | None, try_all: TryAll) -> None:
    """Saves the outcomes of `--count` tries, and exits with 1 for a fault or more than 2 GB."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--count", type=int, default=1000)
    count = parser.parse_args().count
    with tempfile.TemporaryDirectory() as folder:
        told, faults = try_all(count, Path(folder))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    figures = {
        "tried": count,
        "faults": faults,
        "largest_memory_bytes": memory,
        "outcomes": {kind: dict(words) for kind, words in sorted(told.items())},
    }
    print(json.dumps(figures, indent=2))
    print(save(name, figures))
    sys.exit(bool(faults) or memory > 2e9)
