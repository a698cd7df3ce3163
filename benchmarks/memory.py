"""Compares the memory estimate of a run with its real memory: `python benchmarks/memory.py`

Three configs train for a few steps, each in a process of its own. The C library is told to return
freed memory at once (MALLOC_MMAP_THRESHOLD_, which is slow). The largest growth of the process,
minus its growth with a tiny model, is compared with the tensors of a step in `train.py --estimate`.
Then the configs run as users run them, and the peak of the process is compared with its estimate.
On a GPU, torch.cuda.max_memory_allocated is measured instead. Last, the estimate is computed,
without a run, for models of 10 million to 7 billion parameters. Results: memory.json.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from string import ascii_lowercase, ascii_uppercase
from typing import Any

import pytorch_lightning as pl
import torch
from record import PUBLISHED, ROOT, load, save
from tabulate import tabulate
from torch.utils.tensorboard import SummaryWriter  # noqa: F401  # imported before memory is measured

import train
from transformer.config.files import load_config
from transformer.config.keys import Config
from transformer.models import build_model
from transformer.models.base import SequenceModel
from transformer.models.parts.layers import recompute_blocks, skipped_initialization
from transformer.run.estimation import device_memory
from transformer.run.footprint import Footprint, Step, on_several, step_memory
from transformer.tasks.registry import task_of
from transformer.tasks.task_run import TaskRun
from transformer.training.estimates import process_bytes
from transformer.training.lightning_module import LanguageModule
from transformer.training.optimization.optimizers import make_optimizer
from transformer.training.settings import OptimizerSettings

STEPS = 4
GPT_2 = {"embedding_dim": 768, "num_heads": 12, "num_blocks": 12, "block_size": 1024}
GPT_2 |= {"batch_size": 8, "optimizer": "adamw", "compile": False}
RUNS: dict[str, tuple[str, dict[str, Any]]] = {  # a config, and the keys that are changed
    "default.yaml": ("default.yaml", {}),
    "10.7 M, batch 16": ("shakespeare-gpu.yaml", {"batch_size": 16, "compile": False}),
    "g2p.yaml, its longest words": ("g2p.yaml", {}),
}
NEXT_TO_NOTHING = {"embedding_dim": 8, "num_heads": 1, "num_blocks": 1, "batch_size": 4}
KINDS = ("tensors", "process")
COLUMNS = ("estimated", "measured", "ratio")
ON_A_GPU = {
    "GPT-2's shape": ("shakespeare-gpu.yaml", GPT_2),
    "recomputed": ("shakespeare-gpu.yaml", GPT_2 | {"activation_checkpointing": True}),
    "fsdp": ("shakespeare-gpu.yaml", GPT_2 | {"strategy": "fsdp"}),
}
NAMES = ("vocab_size", "block_size", "embedding_dim", "num_heads", "num_blocks")
MODERN = {"norm": "rmsnorm", "activation": "swiglu", "positions": "rotary", "bias": False}
SIZES: dict[str, tuple[dict[str, Any], int]] = {  # shape, chunks per batch
    "10.7 M": (dict(zip(NAMES, (65, 256, 384, 6, 6), strict=True)), 64),
    "124 M": (dict(zip(NAMES, (50304, 1024, 768, 12, 12), strict=True)), 8),
    "1.5 B": (dict(zip(NAMES, (50304, 1024, 1600, 25, 48), strict=True)), 4),
    "7 B": (
        dict(zip(NAMES, (32000, 2048, 4096, 32, 32), strict=True))
        | MODERN
        | {"feedforward_dim": 11008, "tie_weights": False},
        1,
    ),
}
DEVICES = 8
ADAMW: dict[str, Any] = {"lr": 1e-3, "weight_decay": 0.1, "beta1": 0.9, "beta2": 0.95, "eps": 1e-8}


def peak_bytes() -> int:
    """The largest memory of this process since `forget_peak`, on the GPU if it uses one."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


def forget_peak() -> None:
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    else:
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def start_task(config: Config) -> TaskRun:
    kind = task_of(config.model)
    return kind.start(config, kind.read(config), 0)


def longest_pairs(config: Config, folder: Path) -> Path:
    """Writes a file of pairs that are all as long as those of the config's largest batch."""
    task = start_task(config)
    (_, num_letters), (_, num_units), _ = task.largest_shapes
    draw = random.Random(0)
    lines = (
        "".join(draw.choices(ascii_lowercase, k=num_letters))
        + "\t"
        + " ".join(draw.choices(ascii_uppercase, k=num_units - 1))  # one more is END
        for _ in range(12 * config.batch_size)
    )
    path = folder / "longest.tsv"
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def config_of(name: str, folder: Path) -> Config:
    file, changes = (RUNS | ON_A_GPU)[name]
    config = load_config(ROOT / "configs" / file, changes)
    short = {"max_steps": STEPS, "val_every_steps": STEPS, "max_minutes": None, "run_name": "run"}
    short |= {"runs_dir": str(folder)}
    if config.model == "encoder_decoder":
        short |= {"data_path": str(longest_pairs(config, folder))}
    return config.model_copy(update=short)


def measure(name: str, changes: dict[str, Any]) -> dict[str, Any]:
    """Trains a few steps in this process, in which all modules of a run are imported already."""
    at_peak: list[int] = []

    class Peak(pl.Callback):
        def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            at_peak.append(peak_bytes())

    with tempfile.TemporaryDirectory() as folder:
        config = config_of(name, Path(folder)).model_copy(update=changes)
        task = start_task(config)
        estimate = device_memory(config, task, 1)
        before = 0 if torch.cuda.is_available() else peak_bytes()
        forget_peak()
        train.train(config, callbacks=[Peak()])
    return {
        "parts": estimate.bytes_by_part,
        "tensors": {"estimated": estimate.total_bytes, "measured": at_peak[0] - before},
        "process": {
            "estimated": process_bytes(float(estimate.total_bytes)),
            "measured": max(before, peak_bytes()),
        },
    }


def measured_apart(name: str, changes: Mapping[str, Any], **variables: str) -> dict[str, Any]:
    command = [sys.executable, __file__, "--measure", name, "--changes", json.dumps(changes)]
    environment = os.environ | variables
    answer = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return json.loads(answer.stdout.splitlines()[-1])


def measured(name: str) -> dict[str, Any]:
    """Measures a step's tensors, and on a CPU also the process."""
    if torch.cuda.is_available():
        row = measured_apart(name, {})
        del row["process"]
    else:
        tidy = {"MALLOC_MMAP_THRESHOLD_": "65536"}
        row = measured_apart(name, {}, **tidy)
        program = measured_apart(name, NEXT_TO_NOTHING, **tidy)["tensors"]
        row["tensors"]["measured"] -= program["measured"] - program["estimated"]
        row["process"] = measured_apart(name, {})["process"]
    for kind in row.keys() & set(KINDS):
        row[kind]["ratio"] = row[kind]["estimated"] / row[kind]["measured"]
        print(f"{name}: {kind}, estimated over measured {row[kind]['ratio']:.3f}", flush=True)
    return row


def footprint_of(shape: dict[str, Any], batch_size: int, *, recompute: bool) -> Footprint:
    def make_model() -> SequenceModel:
        model = build_model("gpt", **shape)
        if recompute:
            recompute_blocks(model)
        return model

    return step_memory(
        Step(
            lambda: LanguageModule(make_model(), lr=1e-3),
            lambda module: make_optimizer(module, OptimizerSettings(optimizer="adamw", **ADAMW)),
            [(batch_size, shape["block_size"])] * 2,
            bf16=True,
            on_cpu=False,
        )
    )


def computed(shape: dict[str, Any], batch_size: int) -> dict[str, Any]:
    with skipped_initialization(), torch.device("meta"):
        model = build_model("gpt", **shape)
    plain = footprint_of(shape, batch_size, recompute=False)
    again = footprint_of(shape, batch_size, recompute=True)
    return {
        "num_parameters": sum(p.numel() for p in model.parameters()),
        "batch": f"{batch_size} x {shape['block_size']}",
        "one device": plain.bytes_by_part,
        "recomputed": again.bytes_by_part,
        f"fsdp on {DEVICES}, recomputed": on_several(again, "fsdp", DEVICES).bytes_by_part,
    }


def table(figures: dict[str, Any]) -> str:
    """The table of the computed sizes, in GB."""
    rows = []
    for name, row in figures["computed"].items():
        alone, again = row["one device"], row["recomputed"]
        state = sum(alone[part] for part in ("weights", "gradients", "optimizer"))
        state = max(state, alone["weights"] * 2 + alone["optimizer"])  # all gradients at once
        sizes = (
            state,
            alone["activations"] + alone["temporary"],
            again["activations"] + again["temporary"],
            *(sum(parts.values()) for parts in (alone, again)),
            sum(row[f"fsdp on {DEVICES}, recomputed"].values()),
        )
        rows.append((name, row["batch"], *(f"{size / 1e9:.3g}" for size in sizes)))
    header = (
        *("parameters", "batch x context", "weights, gradients, moments", "activations"),
        *("the same, recomputed", "peak, one device", "peak, recomputed"),
        f"peak, fsdp on {DEVICES}, recomputed",
    )
    return tabulate(rows, header, tablefmt="pipe", disable_numparse=True)


def measured_table(figures: dict[str, Any]) -> str:
    """The table of the measured runs, in GB."""
    rows = []
    for name, row in figures["measured"].items():
        cells = [name]
        for kind in KINDS:
            found = row.get(kind)
            cells += [f"{found[key] / 1e9:.3f}" if found else "" for key in COLUMNS[:2]]
            cells.append(f"{found['ratio']:.2f}" if found else "")
        rows.append(cells)
    header = ["run", *(f"{kind}: {column}" for kind in KINDS for column in COLUMNS)]
    return tabulate(rows, header, tablefmt="pipe", disable_numparse=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", choices=RUNS | ON_A_GPU, help="one config, in this process")
    parser.add_argument("--changes", default="{}", help="changes to that config, as JSON")
    parser.add_argument("--computed", action="store_true", help="only the estimates, without a run")
    parser.add_argument("--table", action="store_true", help="print the tables of the last results")
    arguments = parser.parse_args()
    if arguments.table:
        figures = load("memory", PUBLISHED)["figures"]
        print(f"{measured_table(figures)}\n\n{table(figures)}")
        return
    if arguments.measure:
        print(json.dumps(measure(arguments.measure, json.loads(arguments.changes))))
        return
    if arguments.computed:
        figures = load("memory", PUBLISHED)["figures"]
    else:
        names = RUNS | (ON_A_GPU if torch.cuda.is_available() else {})
        figures = {"measured": {name: measured(name) for name in names}}
    figures["computed"] = {name: computed(shape, batch) for name, (shape, batch) in SIZES.items()}
    print(f"{measured_table(figures)}\n\n{table(figures)}")
    print(save("memory", figures))


if __name__ == "__main__":
    main()
