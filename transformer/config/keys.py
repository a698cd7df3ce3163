"""The keys of a run: checked, frozen, flat. Imports no torch.

The fields below are the single source of the YAML keys, the command-line flags, their help and
the JSON schema. Reading files and flags is in `files.py`.
"""

from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator

from transformer.config.groups import (
    DATA,
    ModelName,
    TokenizerName,
    family_keys,
    foreign_keys,
    taken,
)
from transformer.config.types import (
    Auto,
    Boolean,
    FilePath,
    Fraction,
    Integer,
    NotNegative,
    Number,
    Positive,
)
from transformer.data.pairs.settings import Units
from transformer.data.text.settings import TextSettings
from transformer.models.families.base import Family
from transformer.models.families.registry import DEFAULT, FAMILIES

T = TypeVar("T")

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


class _FirstKeys(BaseModel):
    """The required keys, and the model that the keys after them are of."""

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

    model: ModelName = Field(DEFAULT, description="architecture")


if TYPE_CHECKING:
    _ModelKeys = _FirstKeys
else:
    _ModelKeys = create_model("_ModelKeys", __base__=_FirstKeys, **dict(family_keys()))


class Config(_ModelKeys):
    """One run. Nine keys are required; the defaults of the others make the classic GPT."""

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
    tokenizer: TokenizerName = Field(
        TextSettings.tokenizer, description="what a token of a text is"
    )
    stride: Positive | Literal["block_size"] = Field(
        1, description="tokens from one chunk's start to the next; block_size: no overlap"
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
        if misplaced := sorted(foreign_keys(self.model) & self.model_fields_set):
            raise ValueError(f"{misplaced[0]} does not apply to model: {self.model}; remove it")
        values = self.resolved()
        if self.r_drop and not (values.get("dropout") or values.get("target_dropout")):
            raise ValueError(f"r_drop: {self.r_drop:g} needs a dropout above 0; give both or none")
        if self.strategy == "fsdp":
            self._check_sharding()
        self.family_settings()
        self.group(DATA[self.family.data])
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
        if "num_blocks" not in self.family.field_names():
            raise ValueError(
                f"strategy fsdp does not go with model {self.model}, which has no blocks"
            )

    def resolved(self) -> dict[str, Any]:
        """Every key that applies to the chosen model, with its default where none was given."""
        return self.model_dump(exclude=foreign_keys(self.model))

    def group(self, kind: type[T]) -> T:
        """The keys that are the fields of a dataclass, as this dataclass."""
        return taken(kind, dict(self))

    @property
    def family(self) -> type[Family]:
        return FAMILIES[self.model]

    def family_settings(self, **sizes: int) -> Family:
        """The model's settings; `sizes` are a tokenizer's, by default of one token."""
        return self.family(**self._given(sizes))

    def architecture(self, vocab_size: int, **other_sizes: int) -> dict[str, Any]:
        """Plain arguments of `build_model`, but for those that no key names."""
        sizes = {"vocab_size": vocab_size} | other_sizes
        settings = self.family_settings(**sizes)
        return {"model": self.model} | {key: getattr(settings, key) for key in self._given(sizes)}

    def _given(self, sizes: dict[str, int]) -> dict[str, Any]:
        """The arguments of the family that keys and `sizes` name; a missing size is 1."""
        given = {}
        for part in fields(self.family):
            if part.name in type(self).model_fields:
                given[part.name] = getattr(self, part.name)
            elif part.name in sizes or part.default is MISSING:
                given[part.name] = sizes.get(part.name, 1)
        return given
