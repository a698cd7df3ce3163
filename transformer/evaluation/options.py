"""The flags of evaluate.py. Imports no torch."""

from typing import Literal

from pydantic import Field

from transformer.config.types import Boolean, DataPaths
from transformer.generation.options import PairField, SearchOptions


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
