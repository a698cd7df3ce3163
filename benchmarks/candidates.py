"""Options that helped too little to become config keys; `ablate.py` can still try them.

Each function changes a module before training and may return a callback. benchmarks/README.md
summarizes the measurements.
"""

from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from pytorch_lightning.callbacks import EMAWeightAveraging
from torch import Tensor, nn

from transformer.models.parts.layers import INITIAL_STD
from transformer.training.lightning_module import LanguageModule
from transformer.training.optimization.polar import newton_schulz

Candidate = Callable[[LanguageModule, float], pl.Callback | None]


def cap_logits(module: LanguageModule, cap: float) -> None:
    """cap tanh(logits / cap): Gemma Team 2024 (arXiv:2408.00118), 2."""
    module.model.register_forward_hook(lambda _, __, logits: cap * torch.tanh(logits / cap))


def zero_outputs(module: LanguageModule, _: float) -> None:
    """At the start, blocks add zero to the residual stream, as in modded-nanogpt."""
    for block in module.model.blocks:  # type: ignore[union-attr]
        nn.init.zeros_(block.attention.output.weight)
        nn.init.zeros_(block.feedforward.output.weight)


class HeadGate(nn.Linear):
    """Multiplies each head's result at each position by 2 sigmoid(W x), about 1 at the start.

    Qiu et al. 2025 (arXiv:2505.06708), headwise; the factor 2 is ours.
    """

    def __init__(self, embedding_dim: int, num_heads: int) -> None:
        super().__init__(embedding_dim, num_heads, bias=False)
        nn.init.normal_(self.weight, std=INITIAL_STD)
        self._gates = torch.zeros(0)

    def read(self, _: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        self._gates = 2 * self(arguments[0]).sigmoid()  # (B, T, H)

    def weigh(self, _: nn.Module, arguments: tuple[Tensor, ...]) -> Tensor:
        heads = arguments[0].unflatten(-1, (self.out_features, -1))  # (B, T, H, D)
        return (heads * self._gates[..., None]).flatten(2)


def gate_heads(module: LanguageModule, _: float) -> None:
    for block in module.model.blocks:  # type: ignore[union-attr]
        attention = block.attention
        attention.gate = HeadGate(attention.qkv.in_features, attention.num_heads)
        attention.register_forward_pre_hook(attention.gate.read)
        attention.output.register_forward_pre_hook(attention.gate.weigh)


class ValueEmbedding(nn.Module):
    """Adds a learned vector of each n-gram to the attention values of the blocks.

    Zhou et al. 2024 (arXiv:2410.17897) add the values of the first block; separate tables for each
    block are from modded-nanogpt. The tables start at zero.
    """

    def __init__(self, model: nn.Module, ngram_size: int) -> None:
        super().__init__()
        shape: dict[str, Any] = model.architecture  # type: ignore[assignment]
        self.ngram_size = ngram_size
        self.vocab_size = shape["vocab_size"]
        rows, width = self.vocab_size**ngram_size, shape["embedding_dim"]
        self.tables = nn.ParameterList(torch.zeros(rows, width) for _ in range(shape["num_blocks"]))
        self._rows = torch.zeros(0)

    def keep_rows(self, _: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        self._rows = tokens = arguments[0]
        for back in range(1, self.ngram_size):
            self._rows = self._rows + F.pad(tokens[:, :-back], (back, 0)) * self.vocab_size**back

    def add_to(self, block: int) -> Callable[..., Tensor]:
        def hook(_: nn.Module, __: Any, qkv: Tensor) -> Tensor:
            added = F.embedding(self._rows, self.tables[block]).to(qkv.dtype)
            return qkv + F.pad(added, (qkv.shape[-1] - added.shape[-1], 0))

        return hook


def embed_values(module: LanguageModule, ngram_size: float) -> None:
    model = module.model
    embedding = model.value_embedding = ValueEmbedding(model, int(ngram_size))
    model.register_forward_pre_hook(embedding.keep_rows)
    for number, block in enumerate(model.blocks):  # type: ignore[arg-type]
        block.attention.qkv.register_forward_hook(embedding.add_to(number))


def average_weights(module: LanguageModule, decay: float) -> pl.Callback:
    """Scores an exponential moving average of the weights, with Lightning's callback."""
    return EMAWeightAveraging(decay=decay)


def newton_schulz_alone(module: LanguageModule, _: float) -> None:
    """Muon with Newton-Schulz, as in torch.optim.Muon, where `zolotarev` would be faster."""
    configure = module.configure_optimizers

    def with_newton_schulz() -> Any:
        configured: Any = configure()
        configured["optimizer"].polar = newton_schulz
        return configured

    module.configure_optimizers = with_newton_schulz  # type: ignore[method-assign]


class WeightDecayToZero(pl.Callback):
    """Weight decay falls linearly to zero at the last step, in addition to the lr schedule."""

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        left = 1 - trainer.global_step / trainer.max_steps
        for group in trainer.optimizers[0].param_groups:
            peak = group.setdefault("peak_weight_decay", group["weight_decay"])
            group["weight_decay"] = peak * left


# These are on or off; the others need a number.
SWITCHES = ("attention_gate", "newton_schulz", "zero_outputs", "weight_decay_to_zero")
CANDIDATES: dict[str, Candidate] = {
    "attention_gate": gate_heads,
    "logit_cap": cap_logits,
    "value_embedding": embed_values,
    "newton_schulz": newton_schulz_alone,
    "zero_outputs": zero_outputs,
    "weight_averaging": average_weights,
    "weight_decay_to_zero": lambda _, __: WeightDecayToZero(),
}
