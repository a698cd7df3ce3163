"""The flags of export.py, checked. Imports no torch."""

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from transformer.config.types import Boolean, FilePath
from transformer.export.gguf.number_formats import NUMBER_FORMATS
from transformer.export.registry import FORMATS

if TYPE_CHECKING:
    FormatName = str
    NumberFormatName = str
else:
    FormatName = Literal[*FORMATS]
    NumberFormatName = Literal[*NUMBER_FORMATS]


def only_to(*names: str) -> dict[str, Any]:
    """For `Field(json_schema_extra=...)`: a flag that other formats refuse."""
    return {"to": names}


class ExportOptions(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    to: FormatName = Field(
        description="the format: huggingface (a folder for transformers), gguf (a file for "
        "llama.cpp) or onnx (for onnxruntime)"
    )
    out: FilePath = Field(min_length=1, description="where to write it")
    force: Boolean = Field(False, description="replace an export that is there already")
    format: NumberFormatName = Field(
        next(iter(NUMBER_FORMATS)),
        description="gguf: how weights are stored; q8_0: with 8 bits each, and a scale for 32",
        json_schema_extra=only_to("gguf"),
    )
    runs_dir: FilePath = Field("runs", description="folder to find the newest run in")

    @model_validator(mode="after")
    def _check_format(self) -> "ExportOptions":
        for name in self.model_fields_set:
            extra: Any = type(self).model_fields[name].json_schema_extra or {}
            if self.to not in extra.get("to", (self.to,)):
                raise ValueError(f"--{name} does not apply to --to {self.to}: leave it out")
        return self
