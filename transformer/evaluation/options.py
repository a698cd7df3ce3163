"""The flags of evaluate.py. Imports no torch."""

from typing import Literal

from pydantic import Field

from transformer.config.types import Boolean, FilePath
from transformer.generation.options import PairField, SearchOptions


class EvaluateOptions(SearchOptions):
    data_path: FilePath | None = Field(
        None,
        min_length=1,
        description="text or pairs to evaluate on; default: the model's own data. Of its own data "
        "(same sha256), a text's validation split or the test split of pairs is used; any other "
        "file is used as a whole",
    )
    split: Literal["auto", "test", "validation", "all"] = PairField(
        "auto",
        description="pairs to use; the hash of a source gives its split; auto: see --data_path",
    )
    skip_bad_lines: Boolean = PairField(
        False, description="skip lines that are not a source, a tab and a target"
    )
