"""The flags of evaluate.py. Imports no torch."""

from typing import Literal

from pydantic import Field

from transformer.config.flags import only_for
from transformer.config.types import Boolean, FilePath
from transformer.generation.options import SearchOptions


class EvaluateOptions(SearchOptions):
    """What to evaluate on, and how."""

    data_path: FilePath | None = Field(
        None,
        min_length=1,
        description="text or pairs to evaluate on; by default the model's own data. Of its own "
        "data (by sha256) the validation split of a text and the test split of pairs is taken, of "
        "any other file the whole",
    )
    split: Literal["auto", "test", "validation", "all"] = Field(
        "auto",
        description="which pairs of the file, by the hash of their sources; auto: see --data_path",
        json_schema_extra=only_for("pairs"),
    )
    skip_bad_lines: Boolean = Field(
        False, description="leave out lines that are no pair", json_schema_extra=only_for("pairs")
    )
