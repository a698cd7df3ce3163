"""Builds an ONNX graph operator by operator."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

OPSET = 20  # the first with Gelu; onnxruntime reads it since 1.17
_IR_VERSION = 9  # the file format of that opset
_PRODUCER = "lightning-transformer"

Value = str  # the name of what an operator computes
Shape = Sequence[int | str]  # a name stands for a size that each call chooses
_TYPES = {torch.float32: TensorProto.FLOAT, torch.int64: TensorProto.INT64}


class Graph:
    """Operators on values. Weights of `module` keep their names; a tied one is kept once."""

    def __init__(self, module: nn.Module) -> None:
        tensors = [*module.named_parameters(), *module.named_buffers()]
        self._names = {id(tensor): name for name, tensor in tensors}
        self._nodes: list[onnx.NodeProto] = []
        self._kept: dict[str, onnx.TensorProto] = {}
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []

    def input(self, name: str, dtype: torch.dtype, shape: Shape) -> Value:
        self._inputs.append(helper.make_tensor_value_info(name, _TYPES[dtype], shape))
        return name

    def output(self, name: str, value: Value, dtype: torch.dtype, shape: Shape) -> None:
        self._outputs.append(helper.make_tensor_value_info(name, _TYPES[dtype], shape))
        self._nodes.append(helper.make_node("Identity", [value], [name]))

    def op(self, kind: str, *inputs: Any, **attributes: Any) -> Value:
        """The value of an operator: https://onnx.ai/onnx/operators.

        Inputs are values, tensors of the module, or numbers and lists of whole numbers.
        """
        return self.ops(kind, 1, *inputs, **attributes)[0]

    def ops(self, kind: str, num_values: int, *inputs: Any, **attributes: Any) -> list[Value]:
        """All values of an operator that has several."""
        values = [self._value(given) for given in inputs]
        first = len(self._nodes)
        made = [f"{kind}_{first}"] + [f"{kind}_{first}.{n}" for n in range(1, num_values)]
        self._nodes.append(helper.make_node(kind, values, made, **attributes))
        return made

    def transposed(self, weight: Tensor) -> Value:
        """A matrix of the module, transposed; of a tied one no second copy is kept."""
        name = self._names[id(weight)]
        if name in self._kept:
            return self.op("Transpose", name, perm=[1, 0])
        return self._keep(f"{name}.transposed", weight.detach().T)

    def model(self, metadata: Mapping[str, str]) -> onnx.ModelProto:
        weights = list(self._kept.values())
        graph = helper.make_graph(self._nodes, "model", self._inputs, self._outputs, weights)
        made = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=_IR_VERSION,
            producer_name=_PRODUCER,
        )
        helper.set_model_props(made, dict(metadata))
        return made

    def _value(self, given: Any) -> Value:
        if isinstance(given, Value):
            return given
        if isinstance(given, Tensor):
            name = self._names.get(id(given), f"constant_{len(self._kept)}")
            return self._keep(name, given.detach())
        dtype = np.float32 if isinstance(given, float) else np.int64
        return self._keep(
            f"{np.dtype(dtype).name}_{given}", torch.from_numpy(np.array(given, dtype))
        )

    def _keep(self, name: str, tensor: Tensor) -> Value:
        if name not in self._kept:
            tensor = tensor.float() if tensor.is_floating_point() else tensor
            self._kept[name] = numpy_helper.from_array(tensor.contiguous().cpu().numpy(), name)
        return name
