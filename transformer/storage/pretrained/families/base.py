"""What is asked of a class of pretrained models: its settings here, and its tensors' names there.

Imports no torch.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar, NamedTuple

from transformer.models.families.gpt import GPTSettings
from transformer.storage.pretrained.values import Values

# Larger tables of positions are a mistake of the file, and would take memory and time.
LONGEST_BLOCK = 2**20


class Tensor(NamedTuple):
    """One of our tensors, as those of the file that it consists of, one below the other.

    `transposed` ones are stored as (inputs, outputs). Without names, it is all zeros: a bias that
    our layers have and theirs lack.
    """

    name: str
    names: tuple[str, ...]
    transposed: bool = False


class PretrainedFamily(ABC):
    """The `name` of a subclass in this folder is a class of Hugging Face's transformers."""

    name: ClassVar[str]
    prefix: ClassVar[str]  # which names of tensors may have, and which is left out below
    embedding: ClassVar[str]  # the name of the token embedding's tensor
    unused: ClassVar[str]  # a regular expression: tables that older files hold and nobody reads

    @classmethod
    @abstractmethod
    def settings(cls, values: Values) -> GPTSettings:
        """From the values of a config.json.

        Raises: UserError for a missing value, and for one that asks for what our GPT has not.
        """

    @classmethod
    @abstractmethod
    def tensors(cls, values: Values, settings: GPTSettings) -> Iterator[Tensor]:
        """Each tensor of our model, but for the output head, once."""


def block_size(values: Values, *names: str) -> int:
    """The first of these values that is given. Raises: UserError for one that is too large."""
    name = next((name for name in names if values.get(name) is not None), names[0])
    size = values.whole(name)
    if size > LONGEST_BLOCK:
        raise values.refusal(name, f"{LONGEST_BLOCK:,} is the most")
    return size
