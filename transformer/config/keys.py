"""The keys of a run: checked, frozen, flat. Imports no torch.

The fields below are the single source of the YAML keys, the command-line flags, their help and
the JSON schema. Reading files and flags is in `files.py`.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from transformer.config.types import (
    Auto,
    Boolean,
    FilePath,
    Fraction,
    Integer,
    NotNegative,
    Number,
    Positive,
    Units,
)
from transformer.special_ids import default_feedforward_dim

_TRANSFORMER_KEYS = (
    "positions",
    "norm",
    "norm_first",
    "qk_norm",
    "activation",
    "feedforward_dim",
    "dropout",
    "bias",
    "tie_weights",
    "ngram_size",
    "ngram_buckets",
)
# Keys that describe a part which only some models have; the nine required keys stand in every file.
MODEL_KEYS = {
    "gpt": (*_TRANSFORMER_KEYS, "token_shift"),
    "encoder_decoder": (*_TRANSFORMER_KEYS, "target_dropout", "ctc_weight", "shared_vocabulary"),
    "bigram": (),
}
# Keys of what a model is trained on: a text, or pairs of a source and a target.
_TEXT_KEYS = ("stride", "sample_prompt")
_PAIR_KEYS = ("source_units", "target_units", "test_fraction", "skip_bad_lines")
DATA_KEYS = {"gpt": _TEXT_KEYS, "encoder_decoder": _PAIR_KEYS, "bigram": _TEXT_KEYS}
REQUIRED_KEYS = (
    "batch_size",
    "epochs",
    "lr",
    "data_path",
    "block_size",
    "num_heads",
    "embedding_dim",
    "num_blocks",
    "num_workers",
)


def foreign_keys(model: str) -> set[str]:
    """Keys of other models' parts and data."""
    tables = (MODEL_KEYS, DATA_KEYS)
    every = {key for table in tables for keys in table.values() for key in keys}
    return every.difference(*(table[model] for table in tables))


class Config(BaseModel):
    """One run. Nine keys are required; the defaults of the others make the classic GPT."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, coerce_numbers_to_str=True
    )

    batch_size: Integer = Field(gt=0, description="chunks or pairs in a batch, per device")
    epochs: Integer | None = Field(gt=0, description="passes over all examples; none: no limit")
    lr: Number = Field(gt=0, description="peak learning rate")
    data_path: FilePath = Field(
        min_length=1,
        description="corpus, a plain UTF-8 text file, or for model encoder_decoder lines of "
        "source, tab, target; the built-in ones (data/README.md) are built when missing",
    )
    block_size: Integer = Field(
        gt=0, description="context length in tokens; the longest source and target"
    )
    num_heads: Integer = Field(gt=0, description="attention heads in a block")
    embedding_dim: Integer = Field(gt=0, description="width of the model")
    num_blocks: Integer = Field(gt=0, description="residual blocks; of an encoder_decoder, a side")
    num_workers: Integer = Field(
        ge=0, description="data loader processes, at most the number of cores; 0 is none"
    )

    model: Literal["gpt", "encoder_decoder", "bigram"] = Field("gpt", description="architecture")
    positions: Literal["learned", "sinusoidal", "rotary", "none"] = Field(
        "learned", description="how a position is told from another"
    )
    norm: Literal["layernorm", "rmsnorm"] = Field("layernorm", description="normalization")
    norm_first: Boolean = Field(
        True, description="normalize before attention and feed-forward (pre-norm), not after"
    )
    qk_norm: Boolean = Field(
        False, description="normalize each head's queries and keys with RMSNorm"
    )
    activation: Literal["gelu", "gelu_tanh", "relu", "relu2", "swiglu"] = Field(
        "gelu", description="feed-forward activation; gelu is exact, relu2 is relu squared"
    )
    feedforward_dim: Integer | None = Field(
        None, gt=0, description="feed-forward width; by default 4 x embedding_dim, 8/3 for swiglu"
    )
    dropout: Fraction = Field(
        0.0,
        description="probability of zeroing a number in what each part adds, in embeddings "
        "and, of a gpt, in attention weights",
    )
    target_dropout: Fraction = Field(
        0.0, description="share of the target's tokens hidden from the decoder, in training"
    )
    ctc_weight: Number = Field(
        0.0, ge=0, description="weight of the encoder's own guess at the target (CTC), in training"
    )
    bias: Boolean = Field(True, description="additive biases in linear layers and layer norms")
    tie_weights: Boolean = Field(True, description="one matrix for token embedding and output head")
    ngram_size: Integer = Field(
        1, gt=0, le=5, description="embed the last n tokens together too, from 2 up to this n"
    )
    ngram_buckets: Integer = Field(
        8192, gt=0, description="rows of a table of n-grams; more n-grams than rows share them"
    )
    token_shift: Boolean = Field(
        False, description="add to each embedding a learned share of the one before, by channel"
    )
    shared_vocabulary: Boolean = Field(
        False, description="one vocabulary and one embedding for sources and targets"
    )

    optimizer: Literal["adamw", "muon"] = Field(
        "adamw", description="optimizer; muon: for the blocks' matrices, adamw for the others"
    )
    weight_decay: Number = Field(0.1, ge=0, description="decoupled weight decay of the matrices")
    momentum: Fraction = Field(0.95, description="Muon's decay of the gradient average")
    beta1: Fraction = Field(0.9, description="AdamW's decay of the gradient average")
    beta2: Fraction = Field(0.95, description="AdamW's decay of the squared-gradient average")
    eps: Number = Field(1e-8, gt=0, description="AdamW's addend against division by zero")
    label_smoothing: Fraction = Field(
        0.0, description="share of the target's probability spread over all symbols, in training"
    )
    r_drop: Number = Field(
        0.0, ge=0, description="weight of what two passes with different dropout differ by (R-Drop)"
    )
    grad_clip: Number = Field(1.0, ge=0, description="largest gradient norm; 0 is no limit")
    schedule: Literal["constant", "cosine", "trapezoid", "noam"] = Field(
        "cosine", description="course of the learning rate after warmup"
    )
    warmup_steps: NotNegative | Auto = Field(
        "auto", description="steps of linear warmup; auto is a twentieth, at most 100"
    )
    decay_fraction: Fraction = Field(
        0.6, description="last part of the run in which schedule trapezoid decays"
    )
    final_lr_fraction: Fraction = Field(
        0.1, description="what cosine and trapezoid end at, as a fraction of lr"
    )

    max_steps: Integer | None = Field(
        None, gt=0, description="optimizer steps after which to stop, if before epochs"
    )
    max_minutes: Number | None = Field(
        None, gt=0, description="minutes after which to stop, if before epochs and max_steps"
    )
    stride: Positive | Literal["block_size"] = Field(
        1, description="characters from one chunk's start to the next; block_size: no overlap"
    )
    source_units: Units = Field("characters", description="what a source is made of")
    target_units: Units = Field(
        "characters", description="what a target is made of; words stand between spaces"
    )
    skip_bad_lines: Boolean = Field(
        False, description="leave out lines of a pairs file that are none, and count them"
    )
    val_fraction: Number = Field(
        0.1,
        gt=0,
        lt=1,
        description="kept for validation: the corpus's tail, or sources by their hash",
    )
    test_fraction: Fraction = Field(
        0.1, description="kept for evaluate.py alone: sources by their hash"
    )
    val_every_steps: Positive | Auto = Field(
        "auto",
        description="steps between validations; auto: ten or more, for under 10 % of the run",
    )
    checkpoint_every_minutes: Number = Field(
        5.0, gt=0, description="minutes between two checkpoints, beside those of validations"
    )
    patience: Integer | None = Field(
        None, gt=0, description="validations without improvement after which to stop"
    )
    sample_prompt: str = Field(
        "",
        description="start of the text sampled at each validation; empty, and where --data_path "
        "names another text than the file: the text's most frequent line beginning",
    )

    accelerator: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="device kind")
    devices: Positive | Auto = Field(1, description="devices a node; auto is all of them")
    num_nodes: Integer = Field(1, gt=0, description="machines")
    strategy: Literal["auto", "ddp", "fsdp"] = Field(
        "auto", description="how devices share the work; fsdp: the weights too, for large models"
    )
    precision: Literal["auto", "float32", "bf16", "fp16"] = Field(
        "auto", description="number format of matrix products; auto: bf16 in hardware, or float32"
    )
    compile: Boolean | Auto = Field(
        "auto", description="compile the model with torch.compile; auto: on CUDA"
    )
    accumulate_grad_batches: Integer = Field(1, gt=0, description="batches in an optimizer step")
    activation_checkpointing: Boolean = Field(
        False, description="compute each block again in the backward pass: less memory, more time"
    )
    seed: Integer = Field(0, ge=0, le=2**32 - 1, description="source of all randomness")
    runs_dir: FilePath = Field("runs", min_length=1, description="folder of all runs")
    run_name: str | None = Field(
        None,
        pattern=r"^[^/\\:*?\"<>|\x00-\x1f]*[^/\\:*?\"<>|. \x00-\x1f]$",
        description="folder of this run in runs_dir; by default the config file's name",
    )

    @model_validator(mode="after")
    def _check_fields_together(self) -> "Config":
        if self.epochs is self.max_steps is self.max_minutes is None:
            raise ValueError(
                "nothing would end this run: epochs, max_steps and max_minutes are none; give one"
            )
        foreign = foreign_keys(self.model)
        if misplaced := sorted(foreign & self.model_fields_set):
            raise ValueError(f"{misplaced[0]} does not apply to model: {self.model}; remove it")
        if self.r_drop and not (self.dropout or self.target_dropout):
            raise ValueError(f"r_drop: {self.r_drop:g} needs a dropout above 0; give both or none")
        if self.strategy == "fsdp":
            self._check_sharding()
        if self.model != "bigram":
            self._check_heads()
        if self.model == "encoder_decoder":
            self._check_pairs()
        return self

    def _check_sharding(self) -> None:
        if self.optimizer == "muon":
            raise ValueError(
                "strategy fsdp goes with optimizer adamw, not muon, which needs whole matrices; "
                "give strategy ddp or optimizer adamw"
            )
        if self.compile is True:
            raise ValueError("strategy fsdp does not go with compile: true; give one of them")
        if self.precision == "fp16":
            raise ValueError("strategy fsdp goes with precision bf16 or float32, not fp16")
        if self.model == "bigram":
            raise ValueError("strategy fsdp does not go with model bigram, which has no blocks")

    def _check_pairs(self) -> None:
        if self.val_fraction + self.test_fraction >= 1:
            raise ValueError(
                "val_fraction + test_fraction must be less than 1, "
                f"got val_fraction={self.val_fraction:g} and test_fraction={self.test_fraction:g}"
            )
        if self.shared_vocabulary and self.source_units != self.target_units:
            raise ValueError(
                "shared_vocabulary needs the same units on both sides, "
                f"got source_units={self.source_units} and target_units={self.target_units}"
            )

    def _check_heads(self) -> None:
        if self.embedding_dim % self.num_heads:
            raise ValueError(
                "embedding_dim must be divisible by num_heads, "
                f"got embedding_dim={self.embedding_dim} and num_heads={self.num_heads}"
            )
        head_dim = self.embedding_dim // self.num_heads
        if self.positions == "rotary" and head_dim % 2:
            raise ValueError(
                "rotary positions need an even embedding_dim / num_heads, "
                f"got {self.embedding_dim} / {self.num_heads} = {head_dim}"
            )

    def resolved(self) -> dict[str, Any]:
        """Every key that applies to the chosen model, with its default where none was given."""
        return self.model_dump(exclude=foreign_keys(self.model))

    def architecture(self, vocab_size: int, **other_sizes: int) -> dict[str, Any]:
        """Plain arguments of `transformer.models.build_model`; sizes are a tokenizer's."""
        values = self.resolved()
        keys = ["model", "block_size"]
        if self.model != "bigram":
            keys += ["embedding_dim", "num_heads", "num_blocks"]
            values["feedforward_dim"] = self.feedforward_dim or default_feedforward_dim(
                self.embedding_dim, self.activation
            )
        keys += MODEL_KEYS[self.model]
        sizes = {"vocab_size": vocab_size} | other_sizes
        return sizes | {key: values[key] for key in keys}
