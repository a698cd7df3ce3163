"""What a run asks of its task: what it trains on, shows and is measured by."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from transformer.data.datamodule import EndlessDataModule
from transformer.models.base import SequenceModel
from transformer.training.callbacks.showing import Shown
from transformer.training.lightning_module import LanguageModule


@runtime_checkable  # so that the tests' checks of types can look at it
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
        """What is logged beside the losses and belongs together, by a chart's title."""
        ...

    @property
    def tokens_per_example(self) -> float:
        """Without padding, on average."""
        ...

    @property
    def largest_shapes(self) -> list[tuple[int, ...]]:
        """Of the tensors of ids in a device's largest batch."""
        ...

    @property
    def corpus_facts(self) -> dict[str, Any]:
        """For the checkpoint; `sha256` says whether two runs have the same data."""
        ...

    @property
    def shown_tokens(self) -> int:
        """What `show` costs: as many tokens in a batch would."""
        ...

    @property
    def score_tokens(self) -> int:
        """The same of `score`; in float32 a token takes twice as long."""
        ...

    def introduction(self) -> str: ...

    def show(self, model: SequenceModel) -> Shown:
        """What is logged of the model at every validation, beside its loss."""
        ...

    def examples(self, model: SequenceModel) -> str:
        """The text of `show`."""
        ...

    def score(self, model: SequenceModel) -> dict[str, Any]:
        """The exact figures of summary.json, `val_loss` first."""
        ...

    def headline(self, summary: dict[str, Any]) -> str:
        """The figures of `score` in one line."""
        ...

    def prompt(self, shown: str) -> str:
        """For the command that is suggested after a run, from what was shown; may be empty."""
        ...
