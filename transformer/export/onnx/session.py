"""A graph as onnxruntime loads it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from transformer.system.errors import in_one_line

Arrays = dict[str, NDArray]
_TYPES = {"tensor(int64)": np.int64, "tensor(float)": np.float32}
_FATAL_ALONE = 4  # an error is raised, too


class FailedError(RuntimeError):
    """onnxruntime does not take a graph or its inputs."""


class Session:
    """Runs a graph on the CPU. Inputs and outputs are arrays by name.

    Raises: FailedError.
    """

    def __init__(self, path: Path, num_threads: int = 0) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _FATAL_ALONE
        options.intra_op_num_threads = num_threads  # 0: all cores
        providers = ["CPUExecutionProvider"]
        with _one_error():
            self._session = onnxruntime.InferenceSession(path, options, providers=providers)
        self._outputs = [output.name for output in self._session.get_outputs()]
        self.metadata: dict[str, str] = self._session.get_modelmeta().custom_metadata_map

    def empty_past(self, num_rows: int) -> Arrays:
        """The inputs `past.*` at the beginning of a text."""
        pasts = (given for given in self._session.get_inputs() if given.name.startswith("past."))
        return {past.name: _empty(past, num_rows) for past in pasts}

    def run(self, inputs: Mapping[str, NDArray]) -> Arrays:
        with _one_error():
            values: Any = self._session.run(self._outputs, dict(inputs))
        return dict(zip(self._outputs, values, strict=True))

    def step(self, inputs: Mapping[str, NDArray], past: Arrays) -> tuple[NDArray, Arrays]:
        """The logits of new tokens, and the past of the next ones."""
        outputs = self.run({**inputs, **past})
        logits = outputs.pop("logits")
        return logits, {f"past.{name.removeprefix('present.')}": x for name, x in outputs.items()}


@contextmanager
def _one_error() -> Iterator[None]:
    """The library has a type of error for each of its states, and none that they share."""
    try:
        yield
    except Exception as error:
        raise FailedError(in_one_line(error)) from error


def _empty(past: onnxruntime.NodeArg, num_rows: int) -> NDArray:
    sizes = {"batch": num_rows}
    shape = [size if isinstance(size, int) else sizes.get(size, 0) for size in past.shape]
    return np.zeros(shape, _TYPES[past.type])
