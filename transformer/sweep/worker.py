"""A process of a sweep, which trains one run. Imports torch only then."""

import _thread
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from transformer.config.keys import Config
from transformer.run.fit import train
from transformer.run.origin import Origin
from transformer.system.errors import UserError, in_flags, in_one_line
from transformer.system.signals import SIGNALS, ended_at_once
from transformer.system.terminal import PrintAboveBar

SECONDS_TO_SAVE = 60.0  # for a run whose sweep was killed
STOP = b"stop"
# A run that has heard another signal before does not take this one for a second, impatient one.
_HANGUP = getattr(signal, "SIGHUP", signal.SIGTERM)


class Job(NamedTuple):
    """What a process trains: a new run, or one that goes on from the first whole checkpoint."""

    config: Config
    checkpoints: Sequence[Path]
    log: Path
    variables: Mapping[str, str]  # of the environment
    command: Sequence[str]


def work(job: Job, channel: Connection) -> None:
    """Trains, and sends what kept the run from its end through the channel.

    What the run prints goes to its log. If the sweep sends `STOP`, the run saves its state, and
    ends. So it does if the sweep is killed, which closes the channel.
    """
    os.environ.update(job.variables)
    # Otherwise processes that load data would start as this one did, and import torch again.
    multiprocessing.set_start_method(multiprocessing.get_all_start_methods()[0], force=True)
    signal.signal(_HANGUP, signal.SIG_DFL)  # also where nohup has switched it off
    _print_to(job.log)
    logging.basicConfig(
        level=logging.INFO, format="%(message)s", handlers=[PrintAboveBar()], force=True
    )
    logging.getLogger("torch").setLevel(logging.WARNING)
    try:
        with ended_at_once(SIGNALS), _ended_when_asked(channel):
            train(job.config, job.checkpoints, origin=Origin(job.command))
    except UserError as error:
        _send(channel, in_flags(str(error)))
        sys.exit(2)
    except Exception as error:
        traceback.print_exc()
        reason = in_one_line(error)
        _send(channel, f"{type(error).__name__}: {reason} (see {job.log})")
        sys.exit(1)


def _print_to(log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    number = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for stream in (1, 2):
        os.dup2(number, stream)
    os.close(number)


def _send(channel: Connection, reason: str) -> None:
    channel.send_bytes(reason.encode("utf-8", "backslashreplace"))


@contextmanager
def _ended_when_asked(channel: Connection) -> Iterator[None]:
    """In this block, the sweep can end the run: by a SIGHUP that `_listen` makes up.

    A real SIGHUP, which a terminal sends when it is closed, is kept away: under nohup it must end
    nothing, and otherwise it ends the sweep, which then ends its runs.
    """
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, [_HANGUP])
    threading.Thread(target=_listen, args=(channel,), daemon=True).start()
    yield


def _listen(channel: Connection) -> None:
    """Lets the main thread hear SIGHUP, as if it had come from outside."""
    try:
        channel.recv_bytes()
        _thread.interrupt_main(_HANGUP)
        channel.recv_bytes()
    except (EOFError, OSError):  # the sweep has gone
        _thread.interrupt_main(_HANGUP)
        time.sleep(SECONDS_TO_SAVE)
        os._exit(1)
