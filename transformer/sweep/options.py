"""The flags of sweep.py, beside the keys of a config. Imports no torch."""

import re
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from transformer.config.types import FilePath, Integer, Number
from transformer.sweep.registry import SEARCHES

MOST_PROCESSES = 256
_DEVICES = re.compile(r"[\w-]+(,[\w-]+)*")  # or names of parts of them, as in CUDA_VISIBLE_DEVICES

if TYPE_CHECKING:
    SearchName = str
else:
    SearchName = Literal[*(name for name, kind in SEARCHES.items() if kind.about)]

_ABOUT = "; ".join(f"{name}: {kind.about}" for name, kind in SEARCHES.items() if kind.about)


class SweepOptions(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    search: SearchName = Field("grid", description=f"how values are chosen; {_ABOUT}")
    runs: Integer | None = Field(
        None, gt=0, le=10_000, description="combinations that a search other than grid tries"
    )
    seeds: Integer = Field(1, gt=0, le=1000, description="runs of each combination")
    minutes: Number | None = Field(
        None,
        gt=0,
        le=1_000_000,  # two years
        description="time of the whole sweep, of which each run gets the same; by default, a run "
        "ends as its config says",
    )
    processes: Integer = Field(
        1, gt=0, le=MOST_PROCESSES, description="runs that train at the same time"
    )
    gpus: str | None = Field(
        None,
        description="CUDA devices, such as 0,1: one run at a time trains on each",
    )
    name: str | None = Field(
        None, description="the sweep's folder in sweeps_dir; by default, the config file's name"
    )
    sweeps_dir: FilePath = Field("sweeps", min_length=1, description="folder of all sweeps")

    @model_validator(mode="after")
    def _check_fields_together(self) -> "SweepOptions":
        if self.name == "":
            raise ValueError(
                "--name is empty: give the folder of the sweep a name, or leave it out"
            )
        if self.gpus is not None and not _DEVICES.fullmatch(self.gpus):
            raise ValueError(
                f"--gpus must be numbers of CUDA devices, such as 0,1, got {self.gpus!r}"
            )
        devices = (self.gpus or "").split(",")
        if len({*devices}) < len(devices):
            raise ValueError(f"--gpus {self.gpus}: a device is given twice")
        if self.gpus and "processes" in self.model_fields_set and self.processes != len(devices):
            raise ValueError(
                f"--gpus {self.gpus} trains {len(devices)} runs at a time, and --processes "
                f"{self.processes}: leave out --processes"
            )
        return self

    @property
    def places(self) -> tuple[str | None, ...]:
        """One for each run at a time: the CUDA device that it sees, or None for all."""
        return tuple(self.gpus.split(",")) if self.gpus else (None,) * self.processes
