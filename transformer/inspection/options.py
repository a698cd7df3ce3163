"""The flags of explain.py. Imports no torch."""

from pathlib import Path

from pydantic import Field, field_validator, model_validator

from transformer.config.flags import ModelOptions, only_for
from transformer.config.types import FilePath, Integer

ENDINGS = (".html", ".png")


class ExplainOptions(ModelOptions):
    """What to explain, and where the result goes."""

    prompt: str = Field(
        "", description="text to explain, of a long one its last block_size; of pairs, the source"
    )
    prompt_file: FilePath | None = Field(None, description="UTF-8 file that holds it")
    out: FilePath = Field(
        "explain.html", description=".html: a page; .png: the attention of each block and head"
    )
    max_new_tokens: Integer = Field(
        0,
        ge=0,
        description="tokens that the model first adds to the prompt, to be explained too; "
        "0 explains the prompt alone",
        json_schema_extra=only_for("text"),
    )
    seed: Integer = Field(
        0,
        ge=0,
        description="draws these tokens: same seed, same text",
        json_schema_extra=only_for("text"),
    )

    @field_validator("out")
    @classmethod
    def _check_ending(cls, out: str) -> str:
        if Path(out).suffix.lower() not in ENDINGS:
            raise ValueError(f"--out must end in {' or '.join(ENDINGS)}, got {out!r}")
        return out

    @model_validator(mode="after")
    def _check_prompt(self) -> "ExplainOptions":
        if self.prompt and self.prompt_file:
            raise ValueError("--prompt and --prompt_file: give one of them")
        if not (self.prompt or self.prompt_file or self.max_new_tokens):
            raise ValueError("there is nothing to explain: give a --prompt or a --prompt_file")
        return self
