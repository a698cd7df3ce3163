"""How a script prints, reports errors and exits. No torch."""

import atexit
import contextlib
import gc
import io
import logging
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from transformer.system.cores import prepare_threads
from transformer.system.errors import UserError, in_flags, is_out_of_memory
from transformer.system.output import fill_closed_descriptors


@contextlib.contextmanager
def with_flags_in_errors() -> Iterator[None]:
    """Turns the arguments in the text of a UserError into flags."""
    try:
        yield
    except UserError as error:
        raise UserError(in_flags(str(error))) from None


def _report(text: str) -> int:
    say(f"error: {' '.join(text.splitlines())}")
    return 2


def tell(text: str) -> None:
    print(text, flush=True)  # noqa: T201


def say(text: str) -> None:
    """Prints a line on stderr, or nothing if stderr is closed or full."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            print(text, file=sys.stderr)  # noqa: T201


def say_loading(path: object) -> None:
    """Prints what is being loaded, if stderr is a terminal: programs want only news and errors."""
    if sys.stderr is not None and sys.stderr.isatty():
        say(f"loading {path} ...")


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """In this block, nothing below a warning is logged, and nothing goes to stdout."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        root.setLevel(before)


@contextlib.contextmanager
def saying_news() -> Iterator[None]:
    """In this block, what the package logs goes to stderr, for a script whose stdout is a result.

    A line that is logged again is not said again: several questions may meet one damaged folder.
    """
    package = logging.getLogger(__name__.partition(".")[0])  # other packages log too much
    handler, before = _SayOnce(), package.level
    package.addHandler(handler)
    package.setLevel(logging.INFO)
    try:
        yield
    finally:
        package.setLevel(before)
        package.removeHandler(handler)


class _SayOnce(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.said: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(record)
        if line not in self.said:
            self.said.add(line)
            say(line)


def run_script(main: Callable[[], int | None]) -> None:
    """Calls a script's main and exits with its status; a UserError is one line and status 2."""
    atexit.register(gc.freeze)  # otherwise Python looks for garbage in all of torch: one second
    fill_closed_descriptors()
    prepare_threads()
    if isinstance(sys.stdout, io.TextIOWrapper):  # any character on any console
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace", newline="\n")
    status = _status_of(main)
    error = _flush(sys.stdout)
    if error is not None and not isinstance(error, BrokenPipeError):  # the reader has ended
        status = status or _report(f"{_UNWRITTEN} ({error.strerror}): {_MAKE_ROOM}")
    _flush(sys.stderr)
    sys.exit(status)


_UNWRITTEN = "the output could not be written completely"
_MAKE_ROOM = "make room or choose another place"


def _status_of(main: Callable[[], int | None]) -> int:
    try:
        return main() or 0
    except SystemExit as leaving:  # from argparse's --help, and from an interrupted run
        if isinstance(leaving.code, str):
            raise
        return leaving.code or 0
    except UserError as error:
        return _report(str(error))
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        line = " ".join(str(error).splitlines()[:1])
        return _report(f"out of memory: {line}: give fewer texts, a smaller batch or model")
    except BrokenPipeError:  # the reader, such as `head`, has ended: not an error
        return 0
    except OSError as error:  # such as a full disk, or a folder that was removed
        return _report(f"{error}: {_MAKE_ROOM}, and try again")
    except KeyboardInterrupt:
        return 130


def _flush(stream: Any) -> OSError | None:
    """Flushes. After an error, which it returns, the stream leads to os.devnull.

    Otherwise Python's own flush at exit would fail and change the exit status.
    """
    if stream is None:  # it was closed before the start
        return None
    try:
        stream.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return error
    return None


class PrintAboveBar(logging.Handler):
    """Prints log lines on stdout, above the progress bar if there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm

        tqdm.write(self.format(record))


def quiet_libraries() -> None:
    """Once Lightning is imported, hides its messages that a user can do nothing about."""
    for name in ("pytorch_lightning", "lightning_fabric", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    ignore_lightnings_own_warnings()
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*torch.jit.script_method.*")
    threading.excepthook = _report_thread


def ignore_lightnings_own_warnings() -> None:
    """Hides a warning about a torch function that Lightning itself calls in each fit."""
    warnings.filterwarnings("ignore", message=".*treespec, LeafSpec.*", category=FutureWarning)


def _report_thread(failure: threading.ExceptHookArgs) -> None:
    """Reports a thread's error; TensorBoard's on a full disk is reported by the run's logger."""
    of_tensorboard = type(failure.thread).__module__.startswith("tensorboard.")
    if not (of_tensorboard and issubclass(failure.exc_type, OSError)):
        threading.__excepthook__(failure)
