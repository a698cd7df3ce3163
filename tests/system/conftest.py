"""What the tests of this folder share."""

import pytest

from transformer.system import speed


class Clock:
    """Moves on by what candidates say they take, so that a busy machine changes no answer."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        self.now += 1e-6
        return self.now

    def time(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(speed, "time", clock)
    return clock
