"""Checks that damaged and malicious files are refused with a message of one line.

`python benchmarks/hostile_files.py` spoils checkpoints and configs in many random ways (with a
seed) and loads each of them as the scripts do. It counts the outcomes: "refused" with a message of
one line; "unchanged", where the file loads and has the original content; "made whole", where the
content was changed and the checksum was made to fit it. Any other outcome is a fault: code ran,
damaged weights were accepted, another exception, or a hang. The counts and the largest memory go to
hostile_files.json.
"""

import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

from mutations import make, report
from record import ROOT

LONGEST_SECONDS = 10.0
ALLOWED = ("refused", "unchanged", "made whole")


def checksum_of(path: Path) -> str:
    """The checksum that the file contains."""
    from safetensors import safe_open

    from transformer.storage.metadata import CHECKSUM, METADATA_KEY
    from transformer.storage.training_state import read_training_state

    if path.suffix == ".ckpt":
        return read_training_state(path)[METADATA_KEY][CHECKSUM]
    with safe_open(path, framework="pt") as file:
        return file.metadata()[CHECKSUM]


def outcome(path: Path, marker: Path, original: dict[str, Any], own_checksum: str) -> str:
    """Loads a file as the scripts do, and returns the outcome."""
    from transformer.config.files import load_config
    from transformer.run.comparison import equal
    from transformer.storage.model_file import load_model
    from transformer.system.errors import UserError

    started_at = time.monotonic()
    try:
        if path.suffix == ".yaml":
            load_config(path)
            word = "unchanged"  # a config has no content but its keys, and these were checked
        else:
            state = load_model(path).model.state_dict()
            same = equal(state, original)
            word = "unchanged" if same else "damaged weights accepted"
            if not same and checksum_of(path) != own_checksum:
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

    flags = {"runs_dir": str(home), "max_steps": 3, "data_path": str(ROOT / "README.md")}
    sizes = {"embedding_dim": 16, "num_heads": 2, "num_blocks": 2, "block_size": 16}
    config = load_config(ROOT / "configs" / "gpt2-recipe-cpu.yaml", flags | sizes)
    folder = train.train(config)
    return {".ckpt": folder / LAST, ".safetensors": folder / WEIGHTS, ".yaml": folder / CONFIG}


def try_all(count: int, home: Path) -> tuple[dict[str, Counter], list[str]]:
    """Outcomes by kind of file, and the faults with the numbers that reproduce them."""
    from transformer.storage.model_file import load_model

    sources = make_sources(home)
    original = load_model(sources[".safetensors"]).model.state_dict()
    checksums = {suffix: checksum_of(sources[suffix]) for suffix in (".ckpt", ".safetensors")}
    checksums[".yaml"] = ""
    told: dict[str, Counter] = {}
    faults = []
    for number in range(count):
        path, kind, marker = make(number, sources, home)
        word = outcome(path, marker, original, checksums[path.suffix])
        told.setdefault(kind, Counter())[word] += 1
        if word not in ALLOWED:
            faults.append(f"{number}: {kind}: {word}")
        path.unlink(missing_ok=True)
    return told, faults


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    report("hostile_files", __doc__, try_all)
