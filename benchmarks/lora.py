"""What an adapter needs and reaches: `OMP_NUM_THREADS=1 python benchmarks/lora.py [--kills 0]`

A GPT-2 of 124 million random weights, made by transformers, is adapted with lora_rank 8, one chunk
of 256 tokens a step: the largest memory of the whole process, the bytes of the adapter and of a
checkpoint, and the largest difference of logits between the merged and the unmerged model in
float64. Then adapters of the small model of benchmarks/start_from.py learn the comedies, as many
steps as whole models did there. `lora.json` keeps what was found; a run that it has is not made
again.

With `--kills`, runs with an adapter are killed as often and resumed instead, and compared with one
that was not: `lora_kills.json`.
"""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import start_from
import torch
from record import ROOT, make_missing, save

from transformer.models.low_rank import adapt, merge, trained_tensors
from transformer.run.starting import read_start
from transformer.storage.adapter_file import fill_adapter, settings_in
from transformer.storage.metadata import ADAPTER, model_tensors
from transformer.storage.run_folder import LAST
from transformer.storage.training_state import read_with_metadata

NAME = "lora"
RANK, CONTEXT = 8, 256
LARGE_STEPS = 20
LETTERS = 60_000  # of the text that the large model reads
# Flags and seed of each run.
RUNS: list[tuple[str, dict[str, Any], int]] = [
    ("gpt2", {}, 0),
    ("comedies", {"lr": 3e-3}, 0),
    ("comedies", {"lr": 1e-2}, 0),
    ("comedies", {"lr": 3e-2}, 0),
    ("comedies", {"lr": 1e-3}, 0),
    ("gpt2", {"base_precision": "int8"}, 0),
    ("comedies", {"lr": 3e-3, "lora_rank": 32}, 0),
    ("comedies", {"lr": 3e-3, "base_precision": "int8"}, 0),
    ("comedies", {}, 0),
    ("gpt2", {"base_precision": "bf16"}, 0),
]


@cache
def gpt2() -> Path:
    """A folder as save_pretrained writes it, with a small tokenizer learned from the text."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import GPT2Config, GPT2LMHeadModel

    folder = start_from.home() / "gpt2"
    torch.manual_seed(0)
    GPT2LMHeadModel(GPT2Config()).save_pretrained(folder)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    letters = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=2000, initial_alphabet=letters, show_progress=False)
    tokenizer.train([str(short_text())], trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@cache
def short_text() -> Path:
    path = start_from.home() / "short.txt"
    text = start_from.text("comedies").read_text(encoding="utf-8")
    path.write_text(text[:LETTERS], encoding="utf-8")
    return path


def peak_of(*flags: Any) -> tuple[Path, float]:
    """Trains in a process whose largest memory, in bytes, is that of a process of its own."""
    home = start_from.home()
    command = [sys.executable, ROOT / "train.py", *flags, "--runs_dir", home, "--run_name", "large"]
    code = (
        "import resource, subprocess, sys; "
        "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    words = [sys.executable, "-c", code, *map(str, command)]
    answer = subprocess.run(words, check=True, capture_output=True, text=True)
    newest = max((home / "large").glob("version_*"), key=lambda path: path.stat().st_mtime)
    return newest, 1024.0 * int(answer.stdout)


@torch.no_grad()
def of_large(run: dict[str, Any]) -> dict[str, Any]:
    flags = [part for key, value in run["keys"].items() for part in (f"--{key}", value)]
    flags += ["--start_from", gpt2(), "--data_path", short_text(), "--lora_rank", RANK]
    flags += ["--batch_size", 1, "--block_size", CONTEXT, "--max_steps", LARGE_STEPS]
    folder, peak = peak_of(*flags, "--val_every_steps", LARGE_STEPS // 2)
    content, texts = read_with_metadata(folder / LAST)
    tensors = model_tensors(content["state_dict"])
    model = read_start(str(gpt2())).model
    adapt(model, settings_in(json.loads(texts[ADAPTER])))
    fill_adapter(trained_tensors(model), tensors)
    model.double()
    tokens = torch.randint(2000, (2, 64), generator=torch.Generator().manual_seed(0))
    unmerged = model(tokens)
    merge(model)
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    return {
        "peak_gb": peak / 1e9,
        "adapter_mb": sum(tensor.nbytes for tensor in tensors.values()) / 1e6,
        "checkpoint_mb": (folder / LAST).stat().st_size / 1e6,
        "merged_difference": (model(tokens) - unmerged).abs().max().item(),
        **{name: summary[name] for name in ("num_trained_parameters", "val_loss", "step")},
    }


def of_small(run: dict[str, Any]) -> dict[str, Any]:
    keys = {"lora_rank": RANK} | run["keys"]
    flags = [part for key, value in keys.items() for part in (f"--{key}", value)]
    flags += ["--start_from", start_from.old_model(), "--data_path", start_from.text("comedies")]
    steps = start_from.STEPS // start_from.SHARE
    folder = start_from.train("lora", *flags, "--seed", run["seed"], "--max_steps", steps)
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    names = ("val_loss", "old_val_loss", "step", "num_trained_parameters", "elapsed_seconds")
    return {name: summary[name] for name in names}


def measure(run: dict[str, Any]) -> dict[str, Any]:
    return run | (of_large(run) if run["kind"] == "gpt2" else of_small(run))


def main() -> None:
    if number := start_from.kills_asked(__doc__):
        others = {"lora_rank": RANK, "lora_dropout": 0.1}
        print(save("lora_kills", start_from.kills(number, others)))
        return
    names = ("kind", "keys", "seed")
    make_missing(NAME, (dict(zip(names, run, strict=True)) for run in RUNS), measure)


if __name__ == "__main__":
    main()
