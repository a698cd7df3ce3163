"""The keys of a config, checked and immutable. Imports no torch.

The fields below define the YAML keys, the command-line flags with their help, and the JSON schema.
`files.py` reads config files, and `flags.py` reads flags.
"""

from dataclasses import MISSING, fields
from typing import Any, Literal, TypeVar

from pydantic import ConfigDict, Field, model_validator

from transformer.config.data_keys import DataKeys
from transformer.config.groups import DATA, foreign_keys, taken
from transformer.config.planned_keys import allow_auto
from transformer.config.types import (
    Auto,
    Boolean,
    DataPaths,
    FilePath,
    Fraction,
    Integer,
    NotNegative,
    Number,
    Positive,
)
from transformer.data.sources.settings import in_words
from transformer.data.tokenizers.registry import PIECE_KEYS
from transformer.models.families.base import Family
from transformer.models.families.registry import FAMILIES

T = TypeVar("T")


class Config(DataKeys):
    """The settings of one run; the defaults of all optional keys make the classic GPT."""

    model_config = ConfigDict(json_schema_extra=allow_auto)

    optimizer: Literal["adamw", "muon"] = Field(
        "adamw", description="optimizer; muon: Muon for the matrices of blocks, AdamW for the rest"
    )
    weight_decay: Number = Field(0.1, ge=0, description="decoupled weight decay of the matrices")
    momentum: Fraction = Field(0.95, description="Muon: decay of the gradient average")
    polar: Literal["auto", "polar_express", "newton_schulz", "zolotarev"] = Field(
        "auto", description="Muon: how orthogonal matrices are computed; auto: the faster way here"
    )
    beta1: Fraction = Field(0.9, description="AdamW: decay of the gradient average")
    beta2: Fraction = Field(0.95, description="AdamW: decay of the average of squared gradients")
    eps: Number = Field(1e-8, gt=0, description="AdamW: number added against division by zero")
    label_smoothing: Fraction = Field(
        0.0, description="share of the target's probability spread over all symbols while training"
    )
    r_drop: Number = Field(
        0.0, ge=0, description="weight of the difference between two dropout passes (R-Drop)"
    )
    grad_clip: Number = Field(1.0, ge=0, description="largest gradient norm; 0: no limit")
    schedule: Literal["constant", "cosine", "trapezoid", "noam"] = Field(
        "cosine", description="how the learning rate changes after warmup"
    )
    warmup_steps: NotNegative | Auto = Field(
        "auto", description="steps of linear warmup; auto: a twentieth of the run, at most 100"
    )
    decay_fraction: Fraction = Field(
        0.6, description="trapezoid: last part of the run, in which the learning rate falls"
    )
    final_lr_fraction: Fraction = Field(
        0.1, description="cosine and trapezoid: learning rate at the end, as a fraction of lr"
    )

    max_steps: Integer | None = Field(
        None, gt=0, description="the run stops after this many steps, if not before"
    )
    max_minutes: Number | None = Field(
        None, gt=0, description="the run stops after this many minutes, if not before"
    )
    val_every_steps: Positive | Auto = Field(
        "auto", description="steps between validations; auto: ten or more, in under 10 % of the run"
    )
    checkpoint_every_minutes: Number = Field(
        5.0, gt=0, description="minutes between two checkpoints, besides those at validations"
    )
    snapshots: Integer = Field(
        0,
        ge=0,
        le=1000,
        description="moments of the training at which a small copy of the model is kept, evenly "
        "spaced by loss; 0: none",
    )
    patience: Integer | None = Field(
        None, gt=0, description="the run stops after this many validations without improvement"
    )
    logger: Literal["tensorboard", "csv", "wandb"] = Field(
        "tensorboard",
        description="beside TensorBoard's events, which are always written: metrics.csv in the "
        "run's folder, or a run of Weights & Biases",
    )
    sample_prompt: str = Field(
        "",
        description="beginning of the text sampled at each validation; if empty, or if --data_path "
        "replaces the text of the config file: the text's most frequent beginning of a line",
    )

    accelerator: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="kind of device")
    devices: Positive | Auto = Field(1, description="devices of each machine; auto: all")
    num_nodes: Integer = Field(1, gt=0, description="machines")
    strategy: Literal["auto", "ddp", "fsdp"] = Field(
        "auto", description="how devices share the work; fsdp: also the weights, for large models"
    )
    precision: Literal["auto", "float32", "bf16", "fp16"] = Field(
        "auto", description="number format of matrix products; auto: the faster one here"
    )
    attention: Literal["auto", "explicit", "fused"] = Field(
        "auto",
        description="the formula step by step, or torch's fused kernel; auto: the faster one here",
    )
    num_threads: Positive | Auto = Field(
        "auto", description="threads of a CPU; auto: all, or fewer where that is faster"
    )
    cache_dir: FilePath | None = Field(
        None,
        min_length=1,
        description="folder that remembers what is fast here; by default the user's cache folder",
    )
    compile: Boolean | Auto = Field(
        "auto", description="compile the model with torch.compile; auto: if that saves time here"
    )
    accumulate_grad_batches: Integer = Field(1, gt=0, description="batches in one step")
    activation_checkpointing: Boolean = Field(
        False, description="compute each block again in the backward pass: less memory, more time"
    )
    start_from: FilePath | None = Field(
        None,
        min_length=1,
        description="the model whose weights the run begins with: a run, a model.safetensors, a "
        ".ckpt or a folder of save_pretrained; keys that are not given come from it",
    )
    old_data_path: DataPaths | None = Field(
        None,
        description="start_from: the text that the model was trained on, whose old_val_loss is "
        "reported; by default its own data_path, if that has not changed",
    )
    replay_fraction: Fraction = Field(
        0.0, description="start_from: share of the old text in training"
    )
    lora_rank: Integer | None = Field(
        None,
        gt=0,
        description="start_from: freeze the model, and train two small matrices of this rank "
        "beside each matrix of its blocks (LoRA)",
    )
    lora_alpha: Number | None = Field(
        None, gt=0, description="LoRA: lora_alpha / lora_rank is their factor; by default 2"
    )
    lora_dropout: Fraction = Field(
        0.0, lt=1, description="LoRA: probability of setting a number of their input to 0"
    )
    base_precision: Literal["float32", "bf16", "int8"] = Field(
        "float32", description="LoRA: number format of the frozen matrices beside them"
    )
    race: Boolean = Field(
        True,
        description="a plan for ten minutes or more: train three models for a tenth of the time, "
        "and go on with the best",
    )
    seed: Integer = Field(0, ge=0, le=2**32 - 1, description="source of all randomness")
    runs_dir: FilePath = Field("runs", min_length=1, description="folder of all runs")
    run_name: str | None = Field(
        None,
        pattern=r"^[^/\\:*?\"<>|\x00-\x1f]*[^/\\:*?\"<>|. \x00-\x1f]$",
        description="folder of this run in runs_dir; by default, the name of the config file",
    )

    @model_validator(mode="after")
    def _check_fields_together(self) -> "Config":
        if self.test_fraction == "auto":
            fraction = DATA[self.family.data].auto_test_fraction(self.test_path)
            object.__setattr__(self, "test_fraction", fraction)
        if self.epochs is self.max_steps is self.max_minutes is None:
            raise ValueError(
                "nothing would end this run: epochs, max_steps and max_minutes are none; give one"
            )
        if misplaced := sorted(foreign_keys(self.model) & self.model_fields_set):
            raise ValueError(f"{misplaced[0]} does not apply to model: {self.model}; remove it")
        values = self.resolved()
        self._check_tokenizer()
        self._check_data_paths()
        if self.snapshots == 1:
            raise ValueError("snapshots: 1 has no first and last; give 0, or 2 or more")
        if self.r_drop and not (values.get("dropout") or values.get("target_dropout")):
            raise ValueError(f"r_drop: {self.r_drop:g} needs a dropout above 0; set both or none")
        if self.start_from is None and (self.old_data_path or self.replay_fraction):
            key = "old_data_path" if self.old_data_path else "replay_fraction"
            raise ValueError(f"{key} goes with start_from; give start_from or leave out {key}")
        self._check_adapter()
        if self.strategy == "fsdp":
            self._check_sharding()
        self.family_settings()
        return self

    def _check_tokenizer(self) -> None:
        for key in sorted(self._idle_keys & self.model_fields_set):
            if getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(
                    f"{key} {getattr(self, key)} does not apply to {self.data_settings.tokens}; "
                    f"leave it out, or give {self.data_settings.with_pieces}"
                )

    def _check_data_paths(self) -> None:
        number = 1 if isinstance(self.data_path, str) else len(self.data_path)
        if number > 1 and self.family.data == "pairs":
            raise ValueError(f"data_path: model {self.model} reads one file, got {number}")
        if self.data_weights is not None and len(self.data_weights) != number:
            raise ValueError(
                f"data_weights has {len(self.data_weights)} numbers and data_path {number}: give "
                "one for each"
            )

    def _check_adapter(self) -> None:
        if self.lora_rank is None:
            for key in ("lora_alpha", "lora_dropout", "base_precision"):
                if getattr(self, key) != type(self).model_fields[key].default:
                    raise ValueError(
                        f"{key} goes with lora_rank; give lora_rank or leave out {key}"
                    )
            return
        if self.start_from is None:
            raise ValueError(
                "lora_rank goes with start_from, the model to adapt; give start_from or leave out "
                "lora_rank"
            )
        if self.lora_rank > self.embedding_dim:
            raise ValueError(
                "lora_rank must be at most embedding_dim, "
                f"got lora_rank={self.lora_rank} and embedding_dim={self.embedding_dim}"
            )
        if self.strategy == "fsdp":
            raise ValueError(
                "lora_rank does not go with strategy fsdp; give strategy ddp or leave out lora_rank"
            )

    def _check_sharding(self) -> None:
        if self.optimizer == "muon":
            raise ValueError(
                "strategy fsdp does not go with optimizer muon, which needs whole matrices; "
                "give strategy ddp or optimizer adamw"
            )
        if self.compile is True:
            raise ValueError("strategy fsdp does not go with compile: true; give one of them")
        if self.precision == "fp16":
            raise ValueError("strategy fsdp does not go with precision fp16; give bf16 or float32")
        if "num_blocks" not in self.family.field_names():
            raise ValueError(
                f"strategy fsdp does not go with model {self.model}, which has no blocks"
            )

    def resolved(self) -> dict[str, Any]:
        """Every key that applies to the chosen model, with its default where none was given."""
        return self.model_dump(exclude=foreign_keys(self.model) | self._idle_keys)

    @property
    def data_name(self) -> str:
        """The data_path in a message."""
        return in_words(self.data_path)

    @property
    def data_settings(self) -> Any:
        return self.group(DATA[self.family.data])

    @property
    def _idle_keys(self) -> set[str]:
        """Keys of tokenizers that the chosen one does not have."""
        settings = self.data_settings
        return {key for key in PIECE_KEYS if hasattr(settings, key)} - {*settings.used_keys}

    def group(self, kind: type[T]) -> T:
        """A dataclass, filled from the keys with the names of its fields."""
        return taken(kind, dict(self))

    @property
    def family(self) -> type[Family]:
        return FAMILIES[self.model]

    def family_settings(self, **sizes: int) -> Family:
        """The settings of the model; `sizes` are vocabulary sizes, by default 1."""
        return self.family(**self._given(sizes))

    def architecture(self, vocab_size: int, **other_sizes: int) -> dict[str, Any]:
        """The arguments of `build_model` that keys or vocabulary sizes give, as plain values."""
        sizes = {"vocab_size": vocab_size} | other_sizes
        settings = self.family_settings(**sizes)
        return {"model": self.model} | {key: getattr(settings, key) for key in self._given(sizes)}

    def _given(self, sizes: dict[str, int]) -> dict[str, Any]:
        known = dict(self) | {"vocab_size": 1} | sizes
        return {
            part.name: known.get(part.name, 1)
            for part in fields(self.family)
            if part.name in known or part.default is MISSING
        }
