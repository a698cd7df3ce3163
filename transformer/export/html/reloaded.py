"""A page's own engine, run by Node in a process of its own."""

import base64
import json
import subprocess
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from transformer.export.reloaded import Reloaded

_NODE = "node"


class FailedError(Exception):
    """The engine refuses the page, or Node ends."""


class ReloadedPage(Reloaded):
    """To be closed: the process ends then."""

    def __init__(self, path: Path) -> None:
        with resources.as_file(resources.files("transformer.pages") / "templates") as folder:
            self._process = subprocess.Popen(
                [_NODE, str(folder / "node.js"), str(path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                encoding="utf-8",
            )

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def logits(self, tokens: Int[Tensor, "1 T"]) -> Float[Tensor, "1 T V"]:
        ids = tokens[0].tolist()
        numbers = np.frombuffer(base64.b64decode(self.ask("logits", ids)), dtype="<f4")
        return torch.from_numpy(numbers.copy()).view(1, len(ids), -1)

    def continued(self, tokens: Sequence[int], num_new: int) -> list[int]:
        return self.ask("continued", list(tokens), num_new)

    def encode(self, text: str) -> list[int]:
        return self.ask("encode", text)

    def decode(self, ids: Sequence[int]) -> str:
        return self.ask("decode", list(ids))

    def ask(self, method: str, *args: Any) -> Any:
        """What a method of node.js gives. Raises: FailedError with its error."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"method": method, "args": args}) + "\n")
            self._process.stdin.flush()
        except OSError:
            raise FailedError("node ended") from None
        line = self._process.stdout.readline()
        answer = json.loads(line) if line else {"error": "node ended"}
        if "error" in answer:
            raise FailedError(answer["error"])
        return answer["result"]
