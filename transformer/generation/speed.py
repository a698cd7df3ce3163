"""Measures tokens per second. Imports no torch."""

import time
from collections.abc import Iterator, Sequence

from transformer.generation.continuation import Continuation


class Speed:
    """Measures the time of each step; `str` gives tokens per second for prompts and for new tokens.

    The first step reads the last block_size tokens of each prompt.
    """

    def __init__(self, rows: Sequence[Continuation], block_size: int) -> None:
        self.rows = rows
        self.num_read = sum(min(len(row.prompt_tokens), block_size) for row in rows)
        self.times: list[float] = []

    def timed(self, steps: Iterator[None]) -> Iterator[None]:
        self.times = [time.perf_counter()]
        for _ in steps:
            self.times.append(time.perf_counter())
            yield

    def __str__(self) -> str:
        rates = []
        if len(self.times) > 1:
            rates.append(f"prompt: {self.num_read / (self.times[1] - self.times[0]):,.0f} tokens/s")
        if len(self.times) > 2:
            num_new = sum(len(row.tokens) for row in self.rows) - len(self.rows)
            seconds = self.times[-1] - self.times[1]
            rates.append(f"decoding: {num_new / seconds:,.0f} tokens/s")
        return ", ".join(rates)
