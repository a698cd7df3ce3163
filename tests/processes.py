"""What tests of processes share: how long is too long, and what a process has worked."""

import os

# Without an end by then, a process hangs. On a busy machine its start alone may take a minute,
# and a training without bf16 several.
HANGING_SECONDS = 900


def processor_seconds() -> float:
    """Of processes that have ended: on an idle machine no less than what a user waits for."""
    times = os.times()
    return times.children_user + times.children_system
