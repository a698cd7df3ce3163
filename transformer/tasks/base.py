"""What is asked of a task: all that differs between a text and pairs. Imports no torch."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, runtime_checkable

from pydantic import BaseModel

from transformer.config.keys import Config
from transformer.system.errors import UserError

if TYPE_CHECKING:
    from transformer.evaluation.options import EvaluateOptions
    from transformer.generation.interactive import CommandLoop
    from transformer.generation.options import GenerateOptions
    from transformer.inspection.options import ExplainOptions
    from transformer.inspection.prompt import Explained
    from transformer.storage.model_file import SavedModel
    from transformer.tasks.task_run import TaskRun


@runtime_checkable  # so that the tests' type checks can look at it
class Data(Protocol):
    """What `Task.read` gives: a text or pairs."""

    @property
    def tokenizer(self) -> Any: ...

    @property
    def sha256(self) -> str:
        """Of the text as read: two runs with the same have the same data."""
        ...


class Report(NamedTuple):
    """The result of an evaluation: for a program, and as a table for a person."""

    facts: dict[str, Any]
    table: str


class Terminal(NamedTuple):
    """Where generated text goes: `show` writes a piece of it, `talk` asks for prompts."""

    show: Callable[[str], None]
    talk: "Callable[[CommandLoop], None]"
    as_json: bool = False


class Task(ABC):
    """A kind of data to train on, and what a model of it can be used for.

    Methods that take a `saved` model import torch, the others do not.
    """

    name: ClassVar[str]
    noun: ClassVar[str]  # "a model of ..."

    @abstractmethod
    def read(self, config: Config, *, build: bool = True) -> Data:
        """With `build`, as for a new run, a built-in corpus that is missing is built.

        Raises: UserError for data that is missing, not UTF-8, malformed or too short.
        """

    def settle(self, config: Config, data: Any) -> Config:
        """The config with what only its data can say."""
        return config

    @abstractmethod
    def start(self, config: Config, data: Any, num_workers: int) -> "TaskRun": ...

    @abstractmethod
    def evaluate(self, saved: "SavedModel", options: "EvaluateOptions") -> Report: ...

    @abstractmethod
    def explain(
        self, saved: "SavedModel", prompt: str, options: "ExplainOptions"
    ) -> "Explained": ...

    @abstractmethod
    def generate(
        self,
        saved: "SavedModel",
        prompts: Sequence[str],
        options: "GenerateOptions",
        terminal: Terminal,
    ) -> None: ...

    def check(self, options: BaseModel) -> None:
        """Raises: UserError for flags that only another task has: see `config.flags.only_for`."""
        for name in options.model_fields_set:
            extra: Any = type(options).model_fields[name].json_schema_extra or {}
            if extra.get("task", self.name) != self.name:
                raise UserError(f"`{name}` does not apply to a model of {self.noun}: leave it out")
