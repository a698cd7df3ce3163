"""Compares the training speed of our encoder-decoder with torch.nn.Transformer.

`python benchmarks/pair_train_speed.py` trains both in a plain loop with the same batches of
CMUdict, the same shape and AdamW. The shape comes from configs/g2p.yaml, with the paper's choices:
post-norm, layernorm, relu, sinusoidal positions, untied. They run in turn, in several rounds, in
bf16 autocast and in float32. Medians of pairs/s and their ratios go to
pair_train_speed.json. With dropout 0.1, ours drops where the paper does; torch's also drops
attention weights and inside the feed-forward. Without dropout both compute the same.
"""

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F
from record import ROOT, save
from torch import Tensor, nn

from transformer.config.files import load_config
from transformer.data.built_in.registry import build_source
from transformer.data.pairs.datamodule import PairDataModule
from transformer.models import build_model
from transformer.models.parts.positions import SinusoidalPositions
from transformer.special_ids import IGNORED, PADDING
from transformer.training.optimization.optimizers import make_optimizer
from transformer.training.settings import OptimizerSettings

CONFIG = ROOT / "configs" / "g2p.yaml"
AS_PRINTED = {
    **{"positions": "sinusoidal", "norm": "layernorm", "norm_first": False, "activation": "relu"},
    **{"qk_norm": False, "bias": True, "tie_weights": False, "ngram_size": 1},
    **{"target_dropout": 0.0, "r_drop": 0.0, "batch_size": 512},
}
DROPOUTS = (0.1, 0.0)
STEPS, WARMUP_STEPS = 12, 2
LR = 1e-4


class TorchTransformer(nn.Module):
    """nn.Transformer with the parts that a user must add: embeddings, positions, masks, a head."""

    def __init__(self, shape: dict[str, Any]) -> None:
        super().__init__()
        width = shape["embedding_dim"]
        self.scale = math.sqrt(width)
        self.source_embedding = nn.Embedding(shape["source_vocab_size"], width)
        self.token_embedding = nn.Embedding(shape["vocab_size"], width)
        self.positions = SinusoidalPositions(shape["block_size"] + 1, width)
        self.dropout = nn.Dropout(shape["dropout"])
        self.transformer = nn.Transformer(
            width,
            shape["num_heads"],
            shape["num_blocks"],
            shape["num_blocks"],
            shape["feedforward_dim"],
            shape["dropout"],
            batch_first=True,
        )
        self.lm_head = nn.Linear(width, shape["vocab_size"], bias=False)

    def forward(self, source: Tensor, tokens: Tensor) -> Tensor:
        size = tokens.shape[1]
        future = torch.ones(size, size, dtype=torch.bool).triu(1)
        x = self.transformer(
            self._embed(self.source_embedding, source),
            self._embed(self.token_embedding, tokens),
            tgt_mask=future,
            tgt_is_causal=True,
            src_key_padding_mask=source == PADDING,
            memory_key_padding_mask=source == PADDING,
        )
        return self.lm_head(x)

    def _embed(self, embedding: nn.Embedding, tokens: Tensor) -> Tensor:
        x = embedding(tokens) * self.scale
        return self.dropout(self.positions(x, slice(0, tokens.shape[1])))


def make_step(
    model: nn.Module, optimizer: torch.optim.Optimizer, batches: Iterator[Any], precision: str
) -> Callable[[], None]:
    """Makes a step of the plain loop, which is the same for both."""

    def step() -> None:
        source, tokens, targets = next(batches)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            logits = model(source, tokens)
            loss = F.cross_entropy(
                logits.flatten(0, 1).float(), targets.flatten(), ignore_index=IGNORED
            )
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step


def measure(data: PairDataModule, shape: dict[str, Any], rounds: int) -> dict[str, Any]:
    speeds: dict[str, list[float]] = {}
    for number in range(rounds):
        for precision in ("bf16", "float32"):
            for side in ("ours", "nn.Transformer"):
                torch.manual_seed(0)
                model = build_model(**shape) if side == "ours" else TorchTransformer(shape)
                optimizer = optimizer_of(model)
                step = make_step(model, optimizer, iter(data.train_dataloader()), precision)
                for _ in range(WARMUP_STEPS):
                    step()
                started_at = time.perf_counter()
                for _ in range(STEPS):
                    step()
                seconds = time.perf_counter() - started_at
                rate = STEPS * data.batch_size / seconds
                speeds.setdefault(f"{side} {precision}", []).append(rate)
        print(f"round {number + 1}:", {name: f"{v[-1]:.0f}" for name, v in speeds.items()})
    return summarize(speeds)


def optimizer_of(model: nn.Module) -> torch.optim.Optimizer:
    settings = {"weight_decay": 0.0, "beta1": 0.9, "beta2": 0.98, "eps": 1e-9}
    return make_optimizer(model, OptimizerSettings(optimizer="adamw", lr=LR, **settings))


def summarize(speeds: dict[str, list[float]]) -> dict[str, Any]:
    """Medians of the rates, and medians of the ratios of our bf16 to each other side."""
    ours = speeds["ours bf16"]
    return {
        "pairs_per_second": {name: median(values) for name, values in speeds.items()},
        "ours_bf16_over": {
            name: median(a / b for a, b in zip(ours, values, strict=True))
            for name, values in speeds.items()
            if name != "ours bf16"
        },
        "rounds": speeds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    config = load_config(CONFIG, AS_PRINTED)
    build_source(ROOT / config.data_path)
    data = PairDataModule(
        ROOT / config.data_path,
        block_size=config.block_size,
        batch_size=config.batch_size,
        source_units=config.source_units,
        target_units=config.target_units,
        endless=True,
    )
    shape = config.architecture(**data.sizes)
    figures: dict[str, Any] = {"shape": shape, "batch_size": config.batch_size}
    for dropout in DROPOUTS:
        row = measure(data, shape | {"dropout": dropout}, arguments.rounds)
        figures[f"dropout {dropout}"] = row
        print(json.dumps({k: v for k, v in row.items() if k != "rounds"}, indent=2))
    print(save("pair_train_speed", figures))


if __name__ == "__main__":
    main()
