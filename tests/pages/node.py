"""Runs the page's engine in Node: models and calls in, results out; one process for all of them."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from transformer.pages.engine import engine_script
from transformer.pages.live.packing import FLOAT32, INT8, Packer, stored
from transformer.storage.metadata import distinct_tensors

DRIVER = Path(__file__).with_name("drive_engine.js")
needs_node = pytest.mark.skipif(
    shutil.which("node") is None, reason="node is not installed: apt-get install nodejs"
)


class Job:
    """Collects models and calls, then runs them; each call has a place in the results."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.packer = Packer()
        self.models: list[dict[str, Any]] = []
        self.calls: list[dict[str, Any]] = []

    def add_model(self, model, *, int8=False, tokenizer=None, snapshots=()) -> int:
        """The number of a model for `call`. `snapshots` are models, too."""
        self.models.append(
            {
                "architecture": dict(model.architecture),
                "tokenizer": tokenizer,
                "tensors": self._packed(model, int8),
                "snapshots": [self._packed(one, int8) for one in snapshots],
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
        Path(paths["weights"]).write_bytes(self.packer.data)
        job = self.folder / "job.json"
        content = paths | {"models": self.models, "calls": self.calls}
        job.write_text(json.dumps(content), encoding="utf-8")
        done = subprocess.run(
            ["node", DRIVER, job], capture_output=True, text=True, encoding="utf-8"
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return json.loads(Path(paths["results"]).read_text(encoding="utf-8"))

    def _packed(self, model, int8: bool) -> dict[str, Any]:
        """What `openTensors` of container.js asks for, beside the bytes."""
        weights = stored(distinct_tensors(model.state_dict()), INT8 if int8 else FLOAT32)
        return {"start": self.packer.start, "rows": self.packer.add(weights)}
