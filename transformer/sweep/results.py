"""What is known of a sweep so far, and which trials this allows. No torch."""

from collections.abc import Callable, Collection, Sequence

from transformer.sweep.searches.base import Search
from transformer.sweep.trial import Result, Trial


class Results:
    """The results of the trials that have ended, by name.

    `find` looks for the result of a trial; None if it has not ended. More results may allow more
    trials: the search is asked again whenever there are more, and only then.
    """

    def __init__(self, search: Search, find: Callable[[Trial], Result | None]) -> None:
        self._search = search
        self._find = find
        self._trials: Sequence[Trial] = ()
        self._num_asked_with = -1  # results, when the search allowed these trials
        self.by_name: dict[str, Result] = {}

    def allowed(self, unseen: Collection[str] = ()) -> Sequence[Trial]:
        """All trials of the search so far; takes note of those that have ended.

        Nobody looks for the results of the trials with the names `unseen`.
        """
        while len(self.by_name) > self._num_asked_with:
            self._num_asked_with = len(self.by_name)
            self._trials = self._search.trials(list(self.by_name.values()))
            for trial in self._trials:
                if trial.name not in self.by_name and trial.name not in unseen:
                    self.note(trial)
        return self._trials

    def note(self, trial: Trial) -> bool:
        """Whether the trial has ended."""
        result = self._find(trial)
        if result is not None:
            self.by_name[trial.name] = result
        return result is not None

    def ended(self) -> list[Result]:
        """Those of all trials that have ended, in the order of the search."""
        trials = self.allowed()
        return [self.by_name[trial.name] for trial in trials if trial.name in self.by_name]

    def left(self, unseen: Collection[str] = ()) -> list[Trial]:
        """The trials that are allowed, and have neither ended nor a name in `unseen`."""
        trials = self.allowed(unseen)
        known = self.by_name.keys() | unseen
        return [trial for trial in trials if trial.name not in known]
