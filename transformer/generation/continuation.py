"""One row of new text as it grows."""

from collections.abc import Sequence


class Continuation:
    """What follows a prompt, up to the first of the `stop` texts, which is left out.

    A stop text counts where it stands wholly in what is new. What could still become one is held
    back by `take` until it is decided.

    Raises: ValueError for an empty stop text.
    """

    def __init__(self, prompt: str, prompt_tokens: list[int], stop: Sequence[str] = ()) -> None:
        if not all(stop):
            raise ValueError("a stop text must hold one character at least")
        self.prompt = prompt
        self.prompt_tokens = prompt_tokens
        self.stop = stop
        self.text = ""
        self.tokens: list[int] = []
        self.log_probabilities: list[float] = []  # nats, where they were asked for
        self.done = False
        self._ends: list[int] = []  # of each token's piece in the text
        self._taken = 0

    def add(self, token: int, piece: str, log_probability: float | None = None) -> None:
        """The next token and its text; nothing more is added once a stop text was found."""
        if self.done:
            return
        self.text += piece
        self.tokens.append(token)
        self._ends.append(len(self.text))
        if log_probability is not None:
            self.log_probabilities.append(log_probability)
        found = [at for stop in self.stop if (at := self._find(stop, len(piece))) >= 0]
        if found:
            self.done = True
            self.text = self.text[: min(found)]
            kept = sum(end <= len(self.text) for end in self._ends)
            self.tokens = self.tokens[:kept]
            self.log_probabilities = self.log_probabilities[:kept]

    def take(self, *, final: bool = False) -> str:
        """The text since the last time, without what may turn out to be a stop text.

        `final` says that nothing will be added.
        """
        end = len(self.text)
        if not (final or self.done):
            end -= max((self._held_back(stop) for stop in self.stop), default=0)
        taken = self.text[self._taken : end]
        self._taken = max(self._taken, end)
        return taken

    def _find(self, stop: str, num_new: int) -> int:
        return self.text.find(stop, max(0, len(self.text) - num_new - len(stop) + 1))

    def _held_back(self, stop: str) -> int:
        """Characters at the end with which `stop` begins."""
        longest = min(len(stop) - 1, len(self.text))
        return next((n for n in range(longest, 0, -1) if self.text.endswith(stop[:n])), 0)
