"""The first keys of a config: the required ones, the model's and those of the data. No torch."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from transformer.config.groups import ModelName, TokenizerName, family_keys
from transformer.config.types import (
    Auto,
    Boolean,
    DataPaths,
    Encoding,
    FilePath,
    Fraction,
    Integer,
    Number,
    Numbers,
    Positive,
    Rare,
    VocabSize,
)
from transformer.data.pairs.settings import Units
from transformer.data.text.settings import TextSettings
from transformer.models.families.registry import DEFAULT

MOST_FREQUENT = 10**9


class _FirstKeys(BaseModel):
    """The required keys and `model`; the keys of the model families follow them."""

    # What checks the values is built at the first check, and for `Config` alone: pydantic would
    # build it for this class and each between them, too, at every start of a script.
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        coerce_numbers_to_str=True,
        defer_build=True,
    )

    batch_size: Integer = Field(gt=0, description="chunks or pairs in one batch, per device")
    epochs: Integer | None = Field(gt=0, description="passes over all examples; none: no limit")
    lr: Number = Field(gt=0, description="highest learning rate of the run")
    data_path: DataPaths = Field(
        description="the text: a file, a folder, a pattern, or several; for model encoder_decoder "
        "the file of pairs, with a source, a tab and a target per line; built-in files "
        "(data/README.md) are built if missing",
    )
    block_size: Integer = Field(
        gt=0, description="context length in tokens; for pairs, the longest source and target"
    )
    num_heads: Integer = Field(gt=0, description="attention heads in each block")
    embedding_dim: Integer = Field(gt=0, description="width of the model")
    num_blocks: Integer = Field(gt=0, description="residual blocks; for pairs, on each side")
    num_workers: Integer = Field(
        ge=0, description="processes that load data, at most one per core; 0: none"
    )

    model: ModelName = Field(DEFAULT, description="architecture")


REQUIRED_KEYS = tuple(key for key, field in _FirstKeys.model_fields.items() if field.is_required())

if TYPE_CHECKING:
    _ModelKeys = _FirstKeys
else:
    _ModelKeys = create_model("_ModelKeys", __base__=_FirstKeys, **family_keys())


class DataKeys(_ModelKeys):
    """Which data is read, how it is split, and what its tokens are."""

    tokenizer: TokenizerName = Field(
        TextSettings.tokenizer,
        description="what a token of a text is; or a file with a tokenizer: a tokenizer.json of "
        "Hugging Face's tokenizers that is byte-level BPE, or a model.safetensors",
    )
    vocab_size: VocabSize | Auto = Field(
        "auto", description="bpe, pieces: how many to learn; auto: by the length of the text"
    )
    min_frequency: Annotated[Integer, Field(gt=0, le=MOST_FREQUENT)] = Field(
        2, description="bpe, pieces: how often two pieces must stand together to become one"
    )
    stride: Positive | Literal["block_size"] = Field(
        1, description="tokens from one chunk's start to the next's; block_size: no overlap"
    )
    source_units: Units = Field(
        "characters", description="pairs: what a source consists of; pieces: as for tokenizer: bpe"
    )
    target_units: Units = Field(
        "characters", description="pairs: what a target consists of; spaces separate words"
    )
    skip_bad_lines: Boolean = Field(
        False, description="leave out and count lines that are not a source, a tab and a target"
    )
    data_weights: Numbers | None = Field(
        None,
        description="the share of each data_path in training, one number each; none: by length",
    )
    text_field: str | None = Field(
        "text",
        min_length=1,
        description="field or column of a record that holds its text; none: records are plain text",
    )
    encoding: Encoding = Field("utf-8", description="encoding of the text files")
    skip_bad_files: Boolean = Field(
        False, description="leave out and count files and records that cannot be read"
    )
    drop_lines_seen: Annotated[Integer, Field(ge=2)] | None = Field(
        None, description="leave out lines that occur this often in the texts, such as headers"
    )
    drop_duplicates: Boolean = Field(
        False, description="of documents that are equal, only the first is read"
    )
    replace_rare: Boolean | Rare = Field(
        False,
        description="characters that occur fewer times become their plain form (e for é) or "
        "U+FFFD; true: 10 times",
    )
    document_separator: str = Field(
        TextSettings.document_separator,
        description="characters: the text between two documents; other tokenizers have an "
        "end-of-text token",
    )
    token_files_from_mb: Number = Field(
        64.0,
        ge=0,
        description="a larger corpus is tokenized once, into files in cache_dir",
    )
    val_path: DataPaths | None = Field(
        None,
        description="files of your own for validation, as data_path; then nothing is split off; "
        "for pairs, one file",
    )
    test_path: FilePath | None = Field(
        None,
        min_length=1,
        description="pairs: a file of your own for the test; then nothing is split off for it",
    )
    val_max_tokens: Positive | Auto = Field(
        "auto",
        description="tokens of a large validation split that are read; auto: a million while "
        "training, and for the last score all of a text that fits in memory",
    )
    val_fraction: Number = Field(
        0.1,
        gt=0,
        lt=1,
        description="share kept for validation: end of the text, or documents or sources chosen by "
        "their hash",
    )
    test_fraction: Fraction | Auto = Field(
        "auto",
        description="share for the last score alone: end of the text, or documents or sources "
        "chosen by hash; auto: 0.1 for pairs without a test_path, else 0",
    )
