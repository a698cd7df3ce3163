"""What is asked of a search: which trials a sweep trains, one after another. No torch."""

from collections.abc import Sequence
from typing import ClassVar, Protocol

from transformer.sweep.plan import Plan
from transformer.sweep.trial import Result, Trial


class Search(Protocol):
    """Chooses the trials of a plan. It keeps no state, so that a sweep can be killed at any time.

    `about` says in the help of `--search` what it does.
    """

    name: ClassVar[str]
    about: ClassVar[str]

    def __init__(self, plan: Plan) -> None: ...

    def trials(self, results: Sequence[Result]) -> Sequence[Trial]:
        """Every trial that these results allow to start, always in the same order.

        The trials of the results are included. The sweep has ended if each of the returned trials
        has a result. This is a pure function of the plan and the results, in whatever order they
        are given: with more results, the trials returned before are the first of those returned
        now. A failed trial ranks behind all others.
        """
        ...
