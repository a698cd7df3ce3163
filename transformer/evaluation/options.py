"""The flags of evaluate.py. Imports no torch."""

from typing import Literal

from pydantic import Field, model_validator

from transformer.config.types import Boolean, DataPaths, FilePath, Integer
from transformer.generation.options import PairField, SearchOptions, TextField, min_copied_field


class EvaluateOptions(SearchOptions):
    data_path: DataPaths | None = Field(
        None,
        description="text or pairs to evaluate on; default: the model's own data. Of its own data "
        "(same sha256), the test split is used, or the validation split of a text without one; any "
        "other file is used as a whole, and so is a model's val_path or test_path",
    )
    split: Literal["auto", "test", "validation", "all"] = Field(
        "auto",
        description="part to use: of a model's own text, or of any pairs, where the hash of a "
        "source gives its split; auto: see --data_path",
    )
    skip_bad_lines: Boolean = PairField(
        False, description="skip lines that are not a source, a tab and a target"
    )
    minimal_pairs: FilePath | None = TextField(
        None,
        min_length=1,
        description="file of sentences in pairs: how often the model prefers the acceptable one; "
        "acceptable, unacceptable and a phenomenon, parted by tabs, or BLiMP's lines of JSON",
    )
    copied: Boolean = TextField(
        False,
        description="let the model write, and report how much of it stands in the training split",
    )
    min_copied: Integer = min_copied_field()
    num_characters: Integer = TextField(
        20_000, gt=0, description="with --copied: characters that the model writes"
    )
    seed: Integer = TextField(0, ge=0, description="with --copied: of what the model writes")

    @model_validator(mode="after")
    def _check_fields_together(self) -> "EvaluateOptions":
        for name in ("min_copied", "num_characters", "seed"):
            if name in self.model_fields_set and not self.copied:
                raise ValueError(f"--{name} needs --copied")
        for name in ("split", "skip_unknown"):
            if name in self.model_fields_set and self.copied:
                raise ValueError(f"--copied reads the training split: leave --{name} out")
        for name in ("data_path", "split", "copied"):
            if name in self.model_fields_set and self.minimal_pairs is not None:
                raise ValueError(f"--minimal_pairs reads a file of its own: leave --{name} out")
        return self
