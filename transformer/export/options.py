"""The flags of export.py, checked. Imports no torch."""

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from transformer.config.types import Boolean, FilePath, Integer
from transformer.export.registry import FORMATS

if TYPE_CHECKING:
    FormatName = str
else:
    FormatName = Literal[*FORMATS]


def only_to(*names: str) -> dict[str, Any]:
    """For `Field(json_schema_extra=...)`: a flag that other formats refuse."""
    return {"to": names}


class ExportOptions(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    to: FormatName = Field(
        description="the format: huggingface (a folder for transformers), gguf (a file for "
        "llama.cpp), onnx (for onnxruntime) or html (a page that runs the model in any browser)"
    )
    out: FilePath = Field(min_length=1, description="where to write it")
    force: Boolean = Field(
        False, description="replace an export that is there already; html: also write a large page"
    )
    format: str | None = Field(
        None,
        description="how weights are stored; gguf: f32 (the default), f16, or q8_0: with 8 bits "
        "each, and a scale for 32; html: int8, with a scale for each row (the default), or float32",
        json_schema_extra=only_to(*(n for n, kind in FORMATS.items() if kind.number_formats)),
    )
    snapshots: Integer = Field(
        0,
        ge=0,
        description="html: so many moments of the training, of those that `train.py --snapshots` "
        "has kept, for a slider",
        json_schema_extra=only_to("html"),
    )
    runs_dir: FilePath = Field("runs", description="folder to find the newest run in")

    @model_validator(mode="after")
    def _check_format(self) -> "ExportOptions":
        for name in self.model_fields_set:
            extra: Any = type(self).model_fields[name].json_schema_extra or {}
            if self.to not in extra.get("to", (self.to,)):
                raise ValueError(f"--{name} does not apply to --to {self.to}: leave it out")
        known = FORMATS[self.to].number_formats
        if self.format is not None and self.format not in known:
            names = ", ".join(map(repr, known[:-1])) + f" or {known[-1]!r}"
            raise ValueError(f"--format must be {names} with --to {self.to}, got {self.format!r}")
        return self

    @model_validator(mode="after")
    def _check_snapshots(self) -> "ExportOptions":
        if self.snapshots == 1:
            raise ValueError("--snapshots: 1 has no first and last; give 0, or 2 or more")
        return self

    @property
    def number_format(self) -> str:
        """`format`, or the default of `to`."""
        return self.format or FORMATS[self.to].number_formats[0]
