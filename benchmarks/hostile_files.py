"""Checks that damaged and malicious files are refused with a message of one line.

`python benchmarks/hostile_files.py` spoils checkpoints, configs and snapshots in many random ways
(with a seed) and loads each of them as the scripts do. It counts the outcomes: "refused" with a
message of one line; "unchanged", where the file loads and has the original content; "made whole",
where the content was changed and the checksum was made to fit it. Any other outcome is a fault:
code ran, damaged weights were accepted, another exception, or a hang. The counts and the largest
memory go to hostile_files.json.
"""

import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mutations import make, make_snapshot, report
from record import ROOT

LONGEST_SECONDS = 10.0
ALLOWED = ("refused", "unchanged", "made whole")
SNAPSHOTS = "snapshots"  # the name of their folder


class Known(NamedTuple):
    """What is known of the file that was spoiled: its tensors, its model's, and its checksum."""

    content: dict[str, Any]
    model: dict[str, Any]
    checksum: str


def checksum_of(path: Path) -> str:
    """The checksum that the file contains."""
    from safetensors import safe_open

    from transformer.storage.metadata import CHECKSUM, METADATA_KEY
    from transformer.storage.training_state import read_training_state

    if path.suffix == ".ckpt":
        return read_training_state(path)[METADATA_KEY][CHECKSUM]
    with safe_open(path, framework="pt") as file:
        return file.metadata()[CHECKSUM]


def state_of(path: Path, like: dict[str, Any]) -> dict[str, Any]:
    """The tensors of a model, or of a snapshot that is the only one of its run."""
    from transformer.storage.int8_rows import quantized
    from transformer.storage.metadata import distinct_tensors
    from transformer.storage.model_file import load_model
    from transformer.storage.snapshots import list_snapshots, read

    if path.parent.name != SNAPSHOTS:
        return load_model(path).model.state_dict()
    (snapshot,) = list_snapshots(path.parent.parent)
    return read(snapshot, quantized(distinct_tensors(like)))


def outcome(path: Path, marker: Path, known: Known) -> str:
    """Loads a file as the scripts do, and returns the outcome."""
    from transformer.config.files import load_config
    from transformer.run.comparison import equal
    from transformer.system.errors import UserError

    started_at = time.monotonic()
    try:
        if path.suffix == ".yaml":
            load_config(path)
            word = "unchanged"  # a config has no content but its keys, and these were checked
        else:
            same = equal(state_of(path, known.model), known.content)
            word = "unchanged" if same else "damaged weights accepted"
            if not same and checksum_of(path) != known.checksum:
                word = "made whole"
    except UserError as error:
        word = "refused" if "\n" not in str(error) else "more than one line"
    except Exception as error:
        word = f"{type(error).__name__}: {str(error).splitlines()[:1]}"
    if marker.exists():
        word = "code was run"
    if time.monotonic() - started_at > LONGEST_SECONDS:
        word = "too slow"
    return word


def make_sources(home: Path) -> dict[str, Path]:
    """Makes the files of a short run."""
    import train
    from transformer.config.files import load_config
    from transformer.storage.run_folder import CONFIG, LAST, WEIGHTS
    from transformer.storage.snapshots import snapshot_path

    flags = {"runs_dir": str(home), "max_steps": 3, "data_path": str(ROOT / "README.md")}
    sizes = {"embedding_dim": 16, "num_heads": 2, "num_blocks": 2, "block_size": 16}
    more = {"snapshots": 2}
    config = load_config(ROOT / "configs" / "gpt2-recipe-cpu.yaml", flags | sizes | more)
    folder = train.train(config)
    models = {".ckpt": folder / LAST, ".safetensors": folder / WEIGHTS, ".yaml": folder / CONFIG}
    return models | {SNAPSHOTS: snapshot_path(folder, 3)}


def spoiled(count: int, home: Path, sources: dict[str, Path]) -> Iterator[tuple[Path, str, Path]]:
    """`count` files of the three kinds that a user opens, and a quarter as many snapshots."""
    for number in range(count):
        yield make(number, sources, home)
    for number in range(count // 4):
        path, kind = make_snapshot(number, sources[SNAPSHOTS], home / "run")
        yield path, kind, home / "no.marker"


def try_all(count: int, home: Path) -> tuple[dict[str, Counter], list[str]]:
    """Outcomes by kind of file, and the faults with the numbers that reproduce them."""
    sources = make_sources(home)
    model = state_of(sources[".safetensors"], {})
    known = {".yaml": Known({}, {}, "")}
    for kind in (".ckpt", ".safetensors", SNAPSHOTS):
        path = sources[kind]
        tensors = snapshot_tensors(path) if kind == SNAPSHOTS else model
        known[kind] = Known(tensors, model, checksum_of(path))
    told: dict[str, Counter] = {}
    faults = []
    for number, (path, kind, marker) in enumerate(spoiled(count, home, sources)):
        of = SNAPSHOTS if path.parent.name == SNAPSHOTS else path.suffix
        word = outcome(path, marker, known[of])
        told.setdefault(kind, Counter())[word] += 1
        if word not in ALLOWED:
            faults.append(f"{number}: {kind}: {word}")
        path.unlink(missing_ok=True)
    return told, faults


def snapshot_tensors(path: Path) -> dict[str, Any]:
    from transformer.storage.tensor_file import read_tensors

    return read_tensors(path)[0]


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    report("hostile_files", __doc__, try_all)
