"""The baseline: a plain training loop around Hugging Face's GPT-2, with the usual CPU recipe.

`python benchmarks/baseline.py --data_path FILE` uses the recipe of nanoGPT's README for a laptop:
4 blocks, width 128, context 64, batch 12, 2000 steps of AdamW (lr 1e-3 to 1e-4, cosine, 100 steps
of warmup, betas 0.9 and 0.99, weight decay 0.1, gradients clipped at 1). Every 250 steps it
evaluates 20 random batches of each split. It prints, as JSON, the exact loss over the last tenth of
the file.
"""

import argparse
import json
import math
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

BLOCK_SIZE, BATCH_SIZE, STEPS, WARMUP_STEPS = 64, 12, 2000, 100
LR, LEAST_LR = 1e-3, 1e-4
EVAL_EVERY_STEPS, EVAL_BATCHES = 250, 20


def make_model(
    vocab_size: int, block_size: int, embedding_dim: int, num_heads: int, num_blocks: int
) -> nn.Module:
    """Hugging Face's GPT-2 of these sizes, without dropout."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=vocab_size,
        n_positions=block_size,
        n_embd=embedding_dim,
        n_head=num_heads,
        n_layer=num_blocks,
        **dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0),
        bos_token_id=0,
        eos_token_id=0,
        use_cache=False,
    )
    return GPT2LMHeadModel(config)


def make_optimizer(model: nn.Module) -> torch.optim.Optimizer:
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": 0.1},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=LR, betas=(0.9, 0.99))


def learning_rate(step: int) -> float:
    if step < WARMUP_STEPS:
        return LR * (step + 1) / (WARMUP_STEPS + 1)
    progress = (step - WARMUP_STEPS) / (STEPS - WARMUP_STEPS)
    return LEAST_LR + (LR - LEAST_LR) * (1 + math.cos(math.pi * progress)) / 2


def random_batch(tokens: Tensor, batch_size: int, block_size: int) -> tuple[Tensor, Tensor]:
    starts = torch.randint(len(tokens) - block_size, (batch_size,))
    inputs = torch.stack([tokens[i : i + block_size] for i in starts])
    targets = torch.stack([tokens[i + 1 : i + 1 + block_size] for i in starts])
    return inputs, targets


def loss_of(model: nn.Module, batch: tuple[Tensor, Tensor], precision: str) -> Tensor:
    inputs, targets = batch
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        logits = model(input_ids=inputs).logits
        return nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())


def train_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: tuple[Tensor, Tensor],
    precision: str,
) -> Tensor:
    loss = loss_of(model, batch, precision)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss


@torch.no_grad()
def estimate(model: nn.Module, splits: tuple[Tensor, ...], precision: str) -> list[float]:
    """Mean losses over random batches of each split."""
    model.eval()
    batches = [
        [random_batch(split, BATCH_SIZE, BLOCK_SIZE) for _ in range(EVAL_BATCHES)]
        for split in splits
    ]
    means = [
        sum(loss_of(model, b, precision).item() for b in group) / EVAL_BATCHES for group in batches
    ]
    model.train()
    return means


@torch.no_grad()
def exact_loss(model: nn.Module, tokens: Tensor) -> float:
    """As in evaluate.py: consecutive windows, each token except the first scored once, float32."""
    model.eval()
    total = 0.0
    whole = (len(tokens) - 1) // BLOCK_SIZE * BLOCK_SIZE
    pieces = list(
        zip(
            tokens[:whole].view(-1, BLOCK_SIZE).split(128),
            tokens[1 : whole + 1].view(-1, BLOCK_SIZE).split(128),
            strict=True,
        )
    )
    if whole < len(tokens) - 1:
        pieces.append((tokens[None, whole:-1], tokens[None, whole + 1 :]))
    for inputs, targets in pieces:
        total += loss_of(model, (inputs, targets), "float32").item() * targets.numel()
    return total / (len(tokens) - 1)


def read_splits(path: Path) -> tuple[Tensor, Tensor, int]:
    text = path.read_text(encoding="utf-8")
    ids = {character: i for i, character in enumerate(sorted(set(text)))}
    tokens = torch.tensor([ids[character] for character in text])
    cut = int(0.9 * len(tokens))
    return tokens[:cut], tokens[cut:], len(ids)


def main(report: Callable[[str], None] = print) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data_path", type=Path, required=True)
    parser.add_argument("--precision", choices=("float32", "bf16"), default="float32")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    train, val, vocab_size = read_splits(arguments.data_path)
    model = make_model(vocab_size, BLOCK_SIZE, 128, 4, 4)
    optimizer = make_optimizer(model)
    started_at = time.perf_counter()
    for step in range(STEPS):
        if step % EVAL_EVERY_STEPS == 0:
            estimate(model, (train, val), arguments.precision)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step)
        batch = random_batch(train, BATCH_SIZE, BLOCK_SIZE)
        train_step(model, optimizer, batch, arguments.precision)
    elapsed_seconds = time.perf_counter() - started_at
    report(json.dumps({"val_loss": exact_loss(model, val), "loop_seconds": elapsed_seconds}))


if __name__ == "__main__":
    main()
