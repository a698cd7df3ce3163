"""What is asked of a class of pretrained models: its settings here, and its tensors' names there.

The tables are read in both directions: from a folder to our model, and back. Imports no torch.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

from transformer.models.families.gpt import GPTSettings
from transformer.storage.pretrained.values import Values

# More positions or symbols are a mistake of the file, and would take memory and time.
_MOST = 2**20
_NO_WORDS: Mapping[str, Any] = MappingProxyType({})


class Tensor(NamedTuple):
    """One of our tensors, as those of the file that it consists of, one below the other.

    `transposed` ones are stored as (inputs, outputs). Without names, it is all zeros: a bias that
    our layers have and theirs lack.
    """

    name: str
    names: tuple[str, ...]
    transposed: bool = False


class Value(NamedTuple):
    """One value of a config.json: the field of our settings, its name there, and how it is read.

    `words` are theirs with what they are here; of several for one of ours, the first is written.
    """

    field: str
    name: str
    read: Callable[[Values, str, Any], Any] = Values.whole
    default: Any = None
    words: Mapping[str, Any] = _NO_WORDS

    def of(self, values: Values) -> Any:
        """Raises: UserError for a value that is missing or wrong."""
        if self.words:
            return values.one_of(self.name, self.words, self.default)
        return self.read(values, self.name, self.default)

    def written(self, settings: GPTSettings) -> Any:
        """What a config.json says; None where the class has no word for it."""
        value = getattr(settings, self.field)
        if self.words:
            return next((theirs for theirs, ours in self.words.items() if ours == value), None)
        return value


class PretrainedFamily(ABC):
    """The `name` of a subclass in this folder is a class of Hugging Face's transformers."""

    name: ClassVar[str]
    model_type: ClassVar[str]  # its short name there
    prefix: ClassVar[str]  # which names of tensors may have, and which is left out below
    embedding: ClassVar[str]  # the name of the token embedding's tensor
    unused: ClassVar[str]  # a regular expression: tables that older files hold and nobody reads
    table: ClassVar[tuple[Value, ...]]
    # Values that would change what a model computes: others than these are refused.
    fixed: ClassVar[Mapping[str, Any]]
    parts: ClassVar[Mapping[str, Any]]  # fields of our settings that are so in all its models
    has_biases: ClassVar[bool] = False  # always; those that our model lacks are written as zeros

    @classmethod
    def settings(cls, values: Values) -> GPTSettings:
        """From the values of a config.json.

        Raises: UserError for a missing value, and for one that asks for what our GPT has not.
        """
        for name, value in cls.fixed.items():
            values.refuse(name, value)
        fields = {row.field: row.of(values) for row in cls.table}
        return GPTSettings(**cls.parts, **fields, **cls.other_settings(values))

    @classmethod
    def config(cls, settings: GPTSettings) -> dict[str, Any]:
        """The values of a config.json: `settings` reads from them what the class has of these."""
        written = {row.name: row.written(settings) for row in cls.table}
        named = {"architectures": [cls.name], "model_type": cls.model_type}
        values = {name: value for name, value in written.items() if value is not None}
        return named | values | dict(cls.fixed) | cls.other_values(settings)

    @classmethod
    def other_settings(cls, values: Values) -> dict[str, Any]:
        """The fields that no row of the table is for."""
        return {}

    @classmethod
    def other_values(cls, settings: GPTSettings) -> dict[str, Any]:
        """The values that no row of the table is for."""
        return {}

    @classmethod
    @abstractmethod
    def tensors(cls, values: Values, settings: GPTSettings) -> Iterator[Tensor]:
        """Each tensor of our model, but for the output head, once."""


def block_size(values: Values, name: str, older_name: str | None) -> int:
    """Raises: UserError for one that is missing or too large."""
    if older_name is not None and values.get(name) is None and values.get(older_name) is not None:
        name = older_name
    return limited(values, name)


def limited(values: Values, name: str, default: int | None = None) -> int:
    """Raises: UserError for one that is missing or too large."""
    size = values.whole(name, default)
    if size > _MOST:
        raise values.refusal(name, f"{_MOST:,} is the most")
    return size


def truth(values: Values, name: str, default: bool) -> bool:
    return values.truth(name, default=default)
