"""What is asked of an exported model that the program it is for has loaded."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from jaxtyping import Float, Int
from torch import Tensor


class Reloaded(ABC):
    """A model and its tokenizer, both computed by the other program's own code."""

    # The largest difference of two logits as a share of the spread (the standard deviation) of all:
    # many times what the roundings of float32 add up to.
    tolerance: float = 1e-4

    @abstractmethod
    def logits(self, tokens: Int[Tensor, "1 T"]) -> Float[Tensor, "1 N W"]:
        """What the other program gives for the logits, as `comparable` makes it of ours."""

    def comparable(self, ours: Float[Tensor, "1 T V"]) -> Float[Tensor, "1 N W"]:
        """Of our logits, what the other program can give, in its form."""
        return ours

    @abstractmethod
    def continued(self, tokens: Sequence[int], num_new: int) -> list[int]:
        """The `num_new` likeliest tokens that follow, one after the other."""

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """The ids of a text, without its unknown characters, and without special tokens."""

    @abstractmethod
    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids; special tokens have none."""
