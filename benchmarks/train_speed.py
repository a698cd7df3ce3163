"""Measures training tokens/s: our Lightning loop, a bare loop around our module, and Hugging Face.

`python benchmarks/train_speed.py --data_path FILE` trains GPTs of equal shape with AdamW, the same
batch size and no dropout, in turn and in several rounds. Medians and their ratios go to
train_speed.json. Ours runs in the precision that train.py chooses; Hugging Face's GPT-2 in
float32 and in bf16 autocast.
"""

import argparse
import json
import logging
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import baseline
import pytorch_lightning as pl
import torch
from record import save

from transformer.config.keys import Config
from transformer.data.text.corpus import Corpus
from transformer.run import assembly
from transformer.run.settling import settle
from transformer.training.callbacks.throughput import Throughput

# Keys of a plain GPT that all sides support, steps per round, and steps before the clock starts.
SHAPES: dict[str, tuple[dict[str, int], int, int]] = {
    "0.8 M": (
        {"num_blocks": 4, "num_heads": 4, "embedding_dim": 128, "block_size": 64, "batch_size": 12},
        150,
        20,
    ),
    "10.7 M": (
        {"num_blocks": 6, "num_heads": 6, "embedding_dim": 384, "block_size": 256, "batch_size": 8},
        10,
        2,
    ),
}
COMMON: dict[str, Any] = {
    "epochs": 1,
    "lr": 1e-3,
    "num_workers": 0,
    "activation": "gelu_tanh",  # GPT-2's
    "beta2": 0.99,
    "val_every_steps": 10_000,
}


class _Steady(pl.Callback):
    """Times the steps after the first few, in which things are set up."""

    def __init__(self, first: int) -> None:
        self.first = first
        self.elapsed_seconds = 0.0
        self._started_at = 0.0

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_step == self.first:
            self._started_at = time.perf_counter()
        if trainer.global_step == trainer.max_steps:
            self.elapsed_seconds = time.perf_counter() - self._started_at


def make_run(config: Config, corpus: Corpus, folder: Path) -> assembly.Run:
    task = assembly.build_task(config, corpus)
    steps = config.max_steps or 0
    module = assembly.build_module(config, task, steps)
    throughput = Throughput(task.data.num_train_tokens, task.tokens_per_example)
    return assembly.Run(config, folder, task, module, throughput, steps)


def lightning_loop(config: Config, corpus: Corpus, warmup_steps: int) -> float:
    """Trains as train.py does, with callbacks and logging, but without the last validation."""
    with tempfile.TemporaryDirectory() as folder:
        run = make_run(config, corpus, Path(folder, "speed", "version_0"))
        trainer = assembly.build_trainer(run, assembly.choose_hardware(config))
        steady = _Steady(warmup_steps)
        trainer.callbacks.append(steady)  # pyright: ignore[reportAttributeAccessIssue]
        trainer.fit(run.module, run.data)
    return steady.elapsed_seconds


def bare_loop(config: Config, corpus: Corpus, warmup_steps: int) -> float:
    """The same module, optimizer, schedule, clipping and batches in a plain Python loop."""
    run = make_run(config, corpus, Path())
    parts: Any = run.module.configure_optimizers()
    optimizer, scheduler = parts["optimizer"], parts["lr_scheduler"]["scheduler"]
    batches = iter(run.data.train_dataloader())
    bf16 = config.precision == "bf16"
    model = run.module.model.train()

    def step() -> None:
        inputs, targets = next(batches)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits = model(inputs)
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.grad_clip)
        optimizer.step()
        scheduler.step()

    return timed(step, run.total_steps, warmup_steps)


def hugging_face_loop(config: Config, corpus: Corpus, warmup_steps: int, precision: str) -> float:
    """The plain loop of baseline.py."""
    model = baseline.make_model(
        corpus.tokenizer.vocab_size,
        config.block_size,
        config.embedding_dim,
        config.num_heads,
        config.num_blocks,
    )
    optimizer = baseline.make_optimizer(model)
    tokens = torch.from_numpy(corpus.tokens).long()

    def step() -> None:
        batch = baseline.random_batch(tokens, config.batch_size, config.block_size)
        baseline.train_step(model, optimizer, batch, precision)

    return timed(step, config.max_steps or 0, warmup_steps)


def timed(step: Callable[[], None], steps: int, warmup_steps: int) -> float:
    for _ in range(warmup_steps):
        step()
    started_at = time.perf_counter()
    for _ in range(steps - warmup_steps):
        step()
    return time.perf_counter() - started_at


def measure(config: Config, corpus: Corpus, warmup_steps: int, rounds: int) -> dict[str, Any]:
    """Runs every side once in each round, and takes medians of tokens/s over the rounds."""
    sides: dict[str, Callable[[], float]] = {
        "ours": lambda: lightning_loop(config, corpus, warmup_steps),
        "bare loop": lambda: bare_loop(config, corpus, warmup_steps),
        "hugging face float32": lambda: hugging_face_loop(config, corpus, warmup_steps, "float32"),
        "hugging face bf16": lambda: hugging_face_loop(config, corpus, warmup_steps, "bf16"),
    }
    tokens = ((config.max_steps or 0) - warmup_steps) * config.batch_size * config.block_size
    speeds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            speeds[name].append(tokens / side())
    ours = speeds["ours"]
    return {
        "tokens_per_second": {name: median(values) for name, values in speeds.items()},
        "ours_over": {
            name: median(a / b for a, b in zip(ours, values, strict=True))
            for name, values in speeds.items()
            if name != "ours"
        },
        "rounds": speeds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data_path", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    for name in ("pytorch_lightning", "lightning.fabric", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    corpus = Corpus.from_file(arguments.data_path)
    figures = {}
    for name, (shape, steps, warmup_steps) in SHAPES.items():
        config = Config(data_path=arguments.data_path, max_steps=steps, **COMMON, **shape)
        config = settle(config)
        figures[name] = measure(config, corpus, warmup_steps, arguments.rounds)
        print(name, json.dumps({k: v for k, v in figures[name].items() if k != "rounds"}, indent=2))
    print(save("train_speed", figures))


if __name__ == "__main__":
    main()
