"""The flags of prepare.py. Imports no torch."""

from pydantic import BaseModel, ConfigDict, Field

from transformer.config.types import Boolean, Encoding


class PrepareOptions(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    text_field: str | None = Field(
        "text", min_length=1, description="field or column of a record that holds its text"
    )
    encoding: Encoding = Field("utf-8", description="encoding of the text files")
    skip_bad_files: Boolean = Field(
        False, description="leave out and count files and records that cannot be read"
    )
