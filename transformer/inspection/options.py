"""The flags of explain.py. Imports no torch."""

from pathlib import Path

from pydantic import Field, field_validator, model_validator

from transformer.config.flags import ModelOptions
from transformer.config.types import Boolean, FilePath, Integer
from transformer.generation.options import TextField

ENDINGS = (".html", ".png")


class ExplainOptions(ModelOptions):
    prompt: str = Field(
        "", description="text to explain (its last block_size tokens); for a pairs model, a source"
    )
    prompt_file: FilePath | None = Field(None, description="UTF-8 file with the prompt")
    out: FilePath = Field(
        "explain.html", description=".html: a page; .png: attention maps of each block and head"
    )
    live: Boolean = Field(
        False,
        description="write the page that runs the model in a browser, opened at the prompt, as "
        "`export.py --to html` does",
    )
    max_new_tokens: Integer = TextField(
        0,
        ge=0,
        description="tokens that the model adds to the prompt before the explanation; "
        "0: explain only the prompt",
    )
    seed: Integer = TextField(0, ge=0, description="seed for these tokens: same seed, same text")

    @field_validator("out")
    @classmethod
    def _check_ending(cls, out: str) -> str:
        if Path(out).suffix.lower() not in ENDINGS:
            raise ValueError(f"--out must end in {' or '.join(ENDINGS)}, got {out!r}")
        return out

    @model_validator(mode="after")
    def _check_prompt(self) -> "ExplainOptions":
        if self.prompt and self.prompt_file:
            raise ValueError("give --prompt or --prompt_file, not both")
        if not (self.prompt or self.prompt_file or self.max_new_tokens):
            raise ValueError("there is nothing to explain: give a --prompt or a --prompt_file")
        return self

    @model_validator(mode="after")
    def _check_live(self) -> "ExplainOptions":
        if not self.live:
            return self
        if not self.out.lower().endswith(ENDINGS[0]):
            raise ValueError(f"--live writes a page: --out must end in {ENDINGS[0]}")
        for name in ("max_new_tokens", "seed"):
            if name in self.model_fields_set:
                raise ValueError(f"--{name} does not apply to --live: the page itself writes")
        return self
