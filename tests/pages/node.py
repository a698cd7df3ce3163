"""Runs the page's engine in Node: models and calls in, results out; one process for all of them."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from transformer.pages.engine import engine_script
from transformer.storage.int8_rows import SCALES, quantized
from transformer.storage.metadata import distinct_tensors

DRIVER = Path(__file__).with_name("drive_engine.js")
needs_node = pytest.mark.skipif(
    shutil.which("node") is None, reason="node is not installed: apt-get install nodejs"
)


class Job:
    """Collects models and calls, then runs them; each call has a place in the results."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.weights = bytearray()
        self.models: list[dict[str, Any]] = []
        self.calls: list[dict[str, Any]] = []

    def add_model(self, model, *, int8=False, tokenizer=None, snapshots=()) -> int:
        """The number of a model for `call`. `snapshots` are models, too."""
        self.models.append(
            {
                "architecture": dict(model.architecture),
                "tokenizer": tokenizer,
                "tensors": self._rows(model, int8),
                "snapshots": [{"step": 0, "tensors": self._rows(one, int8)} for one in snapshots],
            }
        )
        return len(self.models) - 1

    def call(self, model: int | None, method: str | None, *args: Any) -> int:
        self.calls.append({"model": model, "method": method, "args": args})
        return len(self.calls) - 1

    def evaluate(self, code: str) -> int:
        """Of an expression in the scope of the engine's parts."""
        return self.call(None, None, code)

    def run(self) -> list[dict[str, Any]]:
        """{result, events, ms} or {error} of each call."""
        paths = {name: str(self.folder / name) for name in ("script", "weights", "results")}
        Path(paths["script"]).write_text(engine_script(), encoding="utf-8")
        Path(paths["weights"]).write_bytes(self.weights)
        job = self.folder / "job.json"
        content = paths | {"models": self.models, "calls": self.calls}
        job.write_text(json.dumps(content), encoding="utf-8")
        done = subprocess.run(
            ["node", DRIVER, job], capture_output=True, text=True, encoding="utf-8"
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return json.loads(Path(paths["results"]).read_text(encoding="utf-8"))

    def _rows(self, model, int8: bool) -> list[dict[str, Any]]:
        tensors = distinct_tensors(model.state_dict())
        stored = quantized(tensors) if int8 else tensors
        rows = []
        for name, tensor in stored.items():
            if name.endswith(SCALES):
                continue
            scales = stored.get(name + SCALES)
            rows.append(
                {
                    "name": name,
                    "shape": list(tensor.shape),
                    "format": "float32" if scales is None else "int8",
                    "offset": self._put(tensor),
                    "scales": None if scales is None else self._put(scales),
                }
            )
        return rows

    def _put(self, tensor) -> int:
        self.weights += b"\0" * (-len(self.weights) % 4)
        offset = len(self.weights)
        array = tensor.detach().numpy()
        self.weights += (array if array.dtype == np.int8 else array.astype("<f4")).tobytes()
        return offset
