"""The number formats of a GGUF file's matrices, by the names of `--format`. Imports no gguf."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from transformer.system.errors import UserError


class NumberFormat(ABC):
    """Vectors are float32 in each of them, as llama.cpp wants them."""

    name: ClassVar[str]
    type_name: ClassVar[str]  # of gguf's `GGMLQuantizationType`
    file_type_name: ClassVar[str]  # of gguf's `LlamaFileType`
    # The largest difference of two logits as a share of the spread of all. llama.cpp multiplies a
    # matrix by numbers that it has rounded to the matrix's own format. With drawn weights, which
    # enlarge each rounding, f16 reaches 0.02 and q8_0 0.8; with rows in a wrong order, it is 5.
    tolerance: ClassVar[float]

    block: ClassVar[int] = 1  # numbers of a row that share one scale

    @classmethod
    def check(cls, widths: Mapping[str, int]) -> None:
        """Raises: UserError for rows that the format cannot hold; `widths` are those of keys."""
        for key, width in widths.items():
            if width % cls.block:
                raise UserError(
                    f"{cls.name} stores the numbers of a row in blocks of {cls.block}, which do "
                    f"not divide {key}={width}: give `format=f16`, or train a model of other widths"
                )

    @classmethod
    def padded(cls, width: int) -> int:
        return -(-width // cls.block) * cls.block

    @classmethod
    @abstractmethod
    def stored(cls, matrix: NDArray[np.float32]) -> NDArray: ...


class Float32(NumberFormat):
    name = "f32"
    type_name = "F32"
    file_type_name = "ALL_F32"
    tolerance = 1e-4

    @classmethod
    def stored(cls, matrix: NDArray[np.float32]) -> NDArray:
        return matrix


class Float16(NumberFormat):
    name = "f16"
    type_name = "F16"
    file_type_name = "MOSTLY_F16"
    tolerance = 0.05

    @classmethod
    def stored(cls, matrix: NDArray[np.float32]) -> NDArray:
        """Raises: UserError for numbers that float16 has not."""
        largest = float(np.abs(matrix).max(initial=0.0))
        if largest > float(np.finfo(np.float16).max):
            raise UserError(
                f"a weight of {largest:.3g} is too large for float16 (65,504 is the largest): "
                "give `format=f32`"
            )
        return matrix.astype(np.float16)


class Blocks8(NumberFormat):
    name = "q8_0"
    type_name = "Q8_0"
    file_type_name = "MOSTLY_Q8_0"
    tolerance = 1.5
    block = 32

    @classmethod
    def stored(cls, matrix: NDArray[np.float32]) -> NDArray:
        from gguf import GGMLQuantizationType, quantize

        return quantize(matrix, GGMLQuantizationType.Q8_0)


NUMBER_FORMATS: dict[str, type[NumberFormat]] = {
    kind.name: kind for kind in (Float32, Float16, Blocks8)
}
