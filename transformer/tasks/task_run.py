"""The interface of a task within a run: its data, its module, its samples and its scores."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from transformer.data.datamodule import EndlessDataModule
from transformer.models.base import SequenceModel
from transformer.training.callbacks.showing import Shown
from transformer.training.lightning_module import LanguageModule


@runtime_checkable  # so that the tests' type checks can look at it
class TaskRun(Protocol):
    """A task with the config and the data of one run."""

    @property
    def data(self) -> EndlessDataModule: ...

    @property
    def module(self) -> type[LanguageModule]: ...

    @property
    def monitor(self) -> str:
        """The metric that picks the best checkpoint; lower is better."""
        ...

    @property
    def charts(self) -> Mapping[str, Sequence[str]]:
        """Charts of the curves other than losses: title -> names of the curves in it."""
        ...

    @property
    def tokens_per_example(self) -> float:
        """The average number, without padding."""
        ...

    @property
    def largest_shapes(self) -> list[tuple[int, ...]]:
        """The shapes of the id tensors in the largest batch of one device."""
        ...

    @property
    def corpus_facts(self) -> dict[str, Any]:
        """Saved in every checkpoint; two runs with the same `sha256` have the same data."""
        ...

    @property
    def shown_tokens(self) -> int:
        """The cost of `show`: a batch with this number of tokens takes as long."""
        ...

    @property
    def score_tokens(self) -> int:
        """The cost of `score`, which counts a token twice, as it computes in float32."""
        ...

    def introduction(self) -> str: ...

    def show(self, model: SequenceModel) -> Shown:
        """The samples, scalars and images that are logged at every validation."""
        ...

    def examples(self, model: SequenceModel) -> str:
        """The text of `show` alone."""
        ...

    def score(self, model: SequenceModel) -> dict[str, Any]:
        """The exact scores for summary.json, `val_loss` first."""
        ...

    def headline(self, summary: dict[str, Any]) -> str:
        """The scores in one line."""
        ...

    def prompt(self, shown: str) -> str:
        """A prompt for the command that is suggested after a run, if possible from `shown`."""
        ...
