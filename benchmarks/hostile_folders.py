"""Checks that damaged and malicious folders of other programs are refused with a line.

`python benchmarks/hostile_folders.py` exports a model of each class of transformers, spoils a file
of the folder in many random ways (with a seed), and loads it as the scripts do. It counts the
outcomes: "refused" with a message of one line, and "loaded" with finite weights of the right
shapes: such a folder has no checksum, so that a flipped bit in a weight can be any weight. Any
other outcome is a fault: code ran, another exception, or a hang. The counts and the largest memory
go to hostile_folders.json.
"""

import json
import os
import random
import shutil
import time
from collections import Counter
from pathlib import Path
from typing import Any

from mutations import BYTES, RunsCode, change_tensors, report

LONGEST_SECONDS = 10.0
ALLOWED = ("refused", "loaded")
SIZES = {"vocab_size": 257, "block_size": 16, "embedding_dim": 24, "num_heads": 6, "num_blocks": 2}
LLAMA = {"positions": "rotary", "norm": "rmsnorm", "activation": "swiglu", "bias": False}
MODELS = {
    "gpt2": {},
    "llama": LLAMA | {"num_kv_heads": 2, "tie_weights": False},
    "qwen3": LLAMA | {"qk_norm": True, "head_dim": 14},
}
WEIGHTS, PICKLED = "model.safetensors", "pytorch_model.bin"
JSON_FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json")
ODD: tuple[Any, ...] = (
    0,
    -1,
    7,
    10**9,
    10**30,
    1.5,
    1e999,
    "x",
    "",
    None,
    True,
    [],
    {},
    [[]],
    "\0",
)


def export_all(home: Path) -> list[Path]:
    """A folder for each class, with the tokenizer of bytes."""
    from transformer.data.tokenizers.bytes import ByteTokenizer
    from transformer.export.hugging_face.folder import write_folder
    from transformer.export.options import ExportOptions
    from transformer.models import build_model
    from transformer.storage.saved_model import SavedModel

    folders = []
    for name, changes in MODELS.items():
        model = build_model("gpt", **SIZES | changes).eval()
        facts: dict[str, Any] = {"config": {}, "corpus": {}, "results": {}}
        saved = SavedModel(home, model, ByteTokenizer(), model.architecture, **facts)
        folder = home / name
        folder.mkdir()
        write_folder(saved, folder, ExportOptions(to="huggingface", out=name))
        folders.append(folder)
    return folders


def places(value: Any, path: tuple = ()) -> list[tuple]:
    """Where a JSON value has others in it."""
    inner = value.items() if isinstance(value, dict) else ()
    inner = enumerate(value) if isinstance(value, list) else inner
    found = [(*path, key) for key, _ in inner]
    deeper = [places(part, (*path, key)) for key, part in inner]
    return [*found, *(place for places in deeper for place in places)]


def change_json(path: Path, draw: random.Random) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    for _ in range(draw.choice((1, 1, 1, 3))):
        place = draw.choice(places(content) or [()])
        holder = content
        for key in place[:-1]:
            holder = holder[key]
        if place and draw.random() < 0.2:
            del holder[place[-1]]
        elif place:
            holder[place[-1]] = draw.choice(ODD)
    path.write_text(json.dumps(content), encoding="utf-8")


def change_header(path: Path, draw: random.Random) -> None:
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    name = draw.choice([name for name in header if name != "__metadata__"])
    key = draw.choice(("shape", "dtype", "data_offsets"))
    header[name][key] = draw.choice(([10**12], [-1], "F64", "I8", [0, 4], [], None, [2**63, 2]))
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])


def spoil(folder: Path, marker: Path, draw: random.Random) -> str:
    """Changes the folder; says how."""
    kind = draw.choice(("bytes", "json", "json", "tensors", "header", "code", "missing", "texts"))
    path = folder / draw.choice((WEIGHTS, *JSON_FILES))
    if kind == "bytes":
        path.write_bytes(draw.choice(BYTES)(path.read_bytes(), draw))
    elif kind == "json":
        path = folder / draw.choice((JSON_FILES[0], *JSON_FILES))
        change_json(path, draw)
    elif kind == "tensors":
        from safetensors.torch import load_file, save_file

        save_file(change_tensors(load_file(folder / WEIGHTS), draw), folder / WEIGHTS)
    elif kind == "header":
        change_header(folder / WEIGHTS, draw)
    elif kind == "code":
        import torch

        (folder / WEIGHTS).unlink()
        torch.save({"wte.weight": RunsCode(marker)}, folder / PICKLED)
        (folder / "modeling_x.py").write_text(f"open({str(marker)!r}, 'w')", encoding="utf-8")
    elif kind == "missing":
        path.unlink()
    else:
        texts = ("", "[" * 10_000, "{" * 10_000, "\0", "null", '{"a": 1e999}', "9" * 5000, "[]")
        (folder / draw.choice(JSON_FILES)).write_text(draw.choice(texts), encoding="utf-8")
    return kind


def outcome(folder: Path, marker: Path) -> str:
    """Loads a folder as the scripts do, and returns the outcome."""
    from transformer.storage.model_file import load_model
    from transformer.system.errors import UserError

    started_at = time.monotonic()
    try:
        saved = load_model(folder)
        finite = all(bool(p.isfinite().all()) for p in saved.model.parameters())
        word = "loaded" if finite else "damaged weights accepted"
    except UserError as error:
        word = "refused" if "\n" not in str(error) else "more than one line"
    except Exception as error:
        word = f"{type(error).__name__}: {str(error).splitlines()[:1]}"
    if marker.exists():
        word = "code was run"
    if time.monotonic() - started_at > LONGEST_SECONDS:
        word = "too slow"
    return word


def try_all(count: int, home: Path) -> tuple[dict[str, Counter], list[str]]:
    """Outcomes by kind of damage, and the faults with the numbers that reproduce them."""
    sources = export_all(home)
    told: dict[str, Counter] = {}
    faults = []
    for number in range(count):
        draw = random.Random(number)
        folder, marker = home / f"spoiled-{number}", home / f"{number}.marker"
        shutil.copytree(draw.choice(sources), folder)
        kind = spoil(folder, marker, draw)
        word = outcome(folder, marker)
        told.setdefault(kind, Counter())[word] += 1
        if word not in ALLOWED:
            faults.append(f"{number}: {kind}: {word}")
        shutil.rmtree(folder)
    return told, faults


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    report("hostile_folders", __doc__, try_all)
