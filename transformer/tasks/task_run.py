"""What a run asks of its task: its data, its module, and how it shows and scores a model."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from transformer.models.base import SequenceModel
from transformer.training.callbacks.showing import Shown
from transformer.training.lightning_module import LanguageModule


class TaskRun(ABC):
    module: ClassVar[type[LanguageModule]]
    charts: ClassVar[Mapping[str, Sequence[str]]]  # metrics by the title of their chart
    announced: Sequence[str]  # the scores in the line of a validation
    shapes_vary: ClassVar[bool]  # whether training batches have different shapes
    shows_scores: ClassVar[bool]  # whether `show` finds scores, which every validation needs

    data: Any  # an EndlessDataModule
    tokens_per_example: float  # the mean, without padding
    largest_shapes: list[tuple[int, ...]]  # of the id tensors in the largest batch of one device
    typical_shapes: list[tuple[int, ...]]  # the same for the batch of median size
    corpus_facts: dict[str, Any]  # for the checkpoint; `sha256` tells whether data is the same
    shown_tokens: int  # the cost of `show`, as a number of tokens in a batch
    score_tokens: int  # the same for `score`; in float32 a token takes twice as long
    # The loss on the text of the model that the run started from, if there is such a text.
    old_loss: Callable[[SequenceModel], float] | None = None

    @abstractmethod
    def introduction(self) -> str: ...

    @abstractmethod
    def show(self, model: SequenceModel) -> Shown:
        """What is logged at a validation, beside the loss."""

    @abstractmethod
    def examples(self, model: SequenceModel) -> str:
        """The text of `show`."""

    def copied(self, shown: str) -> int:
        """The longest passage of the training text in the text of `examples`, in characters."""
        return 0

    @abstractmethod
    def score(self, model: SequenceModel) -> dict[str, Any]:
        """The exact results for summary.json, `val_loss` first."""

    @abstractmethod
    def headline(self, summary: dict[str, Any]) -> str:
        """The results of `score` in one line."""

    @abstractmethod
    def prompt(self, shown: str) -> str:
        """A prompt for the suggested command, from the text of `examples`; may be empty."""
