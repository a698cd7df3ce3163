"""The flags of prepare.py. Imports no torch."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, create_model, field_validator

from transformer.config.groups import taken
from transformer.config.keys import Config
from transformer.config.types import Boolean, FilePath
from transformer.data.text.settings import READING_KEYS, TextSettings
from transformer.data.tokenizer_choice import TokenizerChoice

# Keys of a config, with the same meaning: how a text is read, split and made into tokens.
CORPUS_KEYS = (
    *("tokenizer", "vocab_size", "min_frequency", *READING_KEYS),
    *("token_files_from_mb", "val_path", "val_fraction", "cache_dir"),
)


class _Options(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    html: Boolean = Field(False, description="write a page with pictures, prepare.html, too")
    out: FilePath | None = Field(None, description="the page under another name, *.html")
    plan: Boolean = Field(True, description="end with what training for 10 and 60 minutes brings")

    @field_validator("out")
    @classmethod
    def _check_ending(cls, out: str | None) -> str | None:
        if out is not None and Path(out).suffix.lower() != ".html":
            raise ValueError(f"--out must end in .html, got {out!r}")
        return out

    @property
    def page(self) -> str | None:
        """Where the page goes, if there is one."""
        return self.out or ("prepare.html" if self.html else None)

    @property
    def settings(self) -> TextSettings:
        return taken(TextSettings, {"block_size": 1} | dict(self))

    @property
    def choice(self) -> TokenizerChoice:
        return taken(TokenizerChoice, dict(self))


if TYPE_CHECKING:
    PrepareOptions = _Options
else:
    _keys: dict[str, Any] = {
        key: (Config.model_fields[key].annotation, Config.model_fields[key]) for key in CORPUS_KEYS
    }
    PrepareOptions = create_model("PrepareOptions", __base__=_Options, **_keys)
