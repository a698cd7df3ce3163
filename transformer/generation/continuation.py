"""The new text after one prompt, while tokens are added to it."""

from collections.abc import Sequence

from transformer.data.tokenizers.utf8 import Joining


class Continuation:
    """The new text after a prompt, up to the first of the `stop` texts, which is removed.

    A stop text must be in the new text as a whole, but may begin and end within tokens. `take`
    holds back the end of the text while it can still become a stop text, and a character until its
    last byte is there.

    `healed` are the bytes of the prompt that its tokens lack: the first new tokens give them.

    Raises: ValueError for an empty stop text.
    """

    def __init__(
        self,
        prompt: str,
        prompt_tokens: list[int],
        stop: Sequence[str] = (),
        healed: bytes = b"",
    ) -> None:
        if not all(stop):
            raise ValueError("a stop text must have at least one character")
        self.prompt = prompt
        self.prompt_tokens = prompt_tokens
        self.stop = stop
        self.healed = healed
        self.tokens: list[int] = []
        self.offsets: list[int] = []  # in the text, in characters: where each token begins
        self.log_probabilities: list[float] = []  # nats; empty unless `add` gets them
        self.done = False
        self._joining = Joining()
        self._num_characters = 0
        self._pieces: list[str] = []  # a list, because adding to a str copies it each time
        self._untaken: list[str] = []
        self._was_cut = False
        self._recent = ""  # the end of the text, where a stop text may have started

    @property
    def text(self) -> str:
        """U+FFFD stands for a last character that is not complete."""
        return self.whole_text + self._rest

    @property
    def whole_text(self) -> str:
        """Without a last character that is not complete."""
        return "".join(self._pieces)

    @property
    def _rest(self) -> str:
        return "" if self._was_cut else self._joining.rest()

    def end(self) -> None:
        """No token follows."""
        self.done = True

    def add_bytes(self, token: int, data: bytes, log_probability: float | None = None) -> None:
        """Adds the next token and its bytes, which may be a part of a character."""
        known = min(len(self.healed), len(data))
        self.healed = self.healed[known:]
        piece = "" if self.done else self._joining.add(data[known:])
        self.add(token, piece, log_probability)

    def add(self, token: int, piece: str, log_probability: float | None = None) -> None:
        """Adds the next token and its text; after a stop text, it adds nothing."""
        if self.done:
            return
        self.tokens.append(token)
        self.offsets.append(self._num_characters)
        self._num_characters += len(piece)
        self._pieces.append(piece)
        self._untaken.append(piece)
        if log_probability is not None:
            self.log_probabilities.append(log_probability)
        if self.stop:
            self._look_for_stop(self._recent + piece)

    def take(self, *, final: bool = False) -> str:
        """The text since the last call, without an end that can still become a stop text.

        `final` says that no more tokens will be added.
        """
        text = "".join(self._untaken)
        if final:
            text += self._rest
            self._joining = Joining()
        held_back = 0
        if not (final or self.done):
            beginnings = (stop[:length] for stop in self.stop for length in range(1, len(stop)))
            held_back = max((len(b) for b in beginnings if self._recent.endswith(b)), default=0)
        end = len(text) - held_back
        self._untaken = [text[end:]]
        return text[:end]

    def _look_for_stop(self, recent: str) -> None:
        starts = [at for stop in self.stop if (at := recent.find(stop)) >= 0]
        if starts:
            self.done = True
            self._cut(len(recent) - min(starts))
            return
        longest = max(map(len, self.stop))
        self._recent = recent[max(0, len(recent) - longest + 1) :]

    def _cut(self, num_characters: int) -> None:
        """Removes the last characters, and every token that any of them belongs to."""
        self._was_cut = True
        self._untaken = ["".join(self._untaken)[:-num_characters]]
        while num_characters > 0:
            piece = self._pieces.pop()
            num_characters -= len(piece)
            self._drop_token()
            if num_characters < 0:
                self._pieces.append(piece[:-num_characters])
        while num_characters == 0 and self._pieces and not self._pieces[-1]:
            self._pieces.pop()  # the first bytes of the first character that is removed
            self._drop_token()

    def _drop_token(self) -> None:
        self.tokens.pop()
        self.offsets.pop()
        if self.log_probabilities:
            self.log_probabilities.pop()
