"""The interface of a task: everything that differs between a text and pairs. No torch."""

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
    """The result of `Task.read`, a text or pairs. Data with equal sha256 is the same data."""

    @property
    def tokenizer(self) -> Any: ...

    @property
    def sha256(self) -> str: ...


class Report(NamedTuple):
    facts: dict[str, Any]
    table: str


class Session(NamedTuple):
    """The prompts of generate.py; `show` writes a piece of text, `talk` asks for more prompts."""

    prompts: Sequence[str]
    show: Callable[[str], None]
    talk: "Callable[[CommandLoop], None]"
    as_json: bool = False


class Task(ABC):
    """A kind of data to train on, and the uses of a model that was trained on it.

    `start` and the methods that take a `saved` model import torch; the others do not.
    """

    name: ClassVar[str]
    noun: ClassVar[str]  # follows "a model of"
    monitor: ClassVar[str]  # the score that picks a run's best weights; lower is better
    metric_of_any_tokens: ClassVar[str]  # the same between models whose tokens differ
    averages: ClassVar[bool] = False  # whether the probabilities of several models can be averaged

    @abstractmethod
    def read(
        self, config: Config, *, build: bool = True, recall: Callable[[], Any] | None = None
    ) -> Data:
        """Reads the data; with `build`, as for a new run, builds a missing built-in corpus.

        For a resumed run, `recall` gives the tokenizer of its checkpoint.

        Raises: UserError for data that is missing, not UTF-8, malformed or too short.
        """

    def settle(self, config: Config, data: Any) -> Config:
        """Returns the config with the settings that depend on the data."""
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
    def generate(self, saved: "SavedModel", options: "GenerateOptions", now: Session) -> None: ...

    def check(self, options: BaseModel) -> None:
        """Raises: UserError for options of another task: see `config.flags.only_for`."""
        for name in options.model_fields_set:
            extra: Any = type(options).model_fields[name].json_schema_extra or {}
            if extra.get("task", self.name) != self.name:
                raise UserError(f"`{name}` does not apply to a model of {self.noun}: leave it out")
