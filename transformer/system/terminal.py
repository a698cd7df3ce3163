"""What a program says at the terminal, and how it ends: lines, mistakes, exit status. No torch."""

import contextlib
import io
import logging
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from transformer.system.errors import UserError, in_flags, is_out_of_memory
from transformer.system.output import fill_closed_descriptors


@contextlib.contextmanager
def with_flags_in_errors() -> Iterator[None]:
    """What the package says in Python's words is said in those of the command line."""
    try:
        yield
    except UserError as error:
        raise UserError(in_flags(str(error))) from None


def _report(text: str) -> int:
    say(f"error: {' '.join(text.splitlines())}")
    return 2


def tell(text: str) -> None:
    """Lines on stdout, at once."""
    print(text, flush=True)  # noqa: T201


def say(text: str) -> None:
    """A line on stderr; where that is closed or full, it is lost, and nothing else."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            print(text, file=sys.stderr)  # noqa: T201


def say_loading(path: object) -> None:
    """What a person waits for, at a terminal; to a program stderr has errors and news alone."""
    if sys.stderr is not None and sys.stderr.isatty():
        say(f"loading {path} ...")


def run_script(main: Callable[[], int | None]) -> None:
    """Calls a script's main and exits with what it returns; a user's mistake is one line and 2."""
    fill_closed_descriptors()
    if isinstance(sys.stdout, io.TextIOWrapper):  # samples in any script, on any console
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace", newline="\n")
    status = _status_of(main)
    error = _flush(sys.stdout)
    if error is not None and not isinstance(error, BrokenPipeError):  # the reader has gone
        status = status or _report(f"{_UNWRITTEN} ({error.strerror}): {_MAKE_ROOM}")
    _flush(sys.stderr)
    sys.exit(status)


_UNWRITTEN = "what was printed could not be written whole"
_MAKE_ROOM = "make room or choose another place"


def _status_of(main: Callable[[], int | None]) -> int:
    try:
        return main() or 0
    except SystemExit as leaving:  # of argparse's --help, and of a run that was interrupted
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
    except BrokenPipeError:  # the reader, say `head`, has gone: no error of ours
        return 0
    except OSError as error:  # a full disk, say, or a folder that went away
        return _report(f"{error}: {_MAKE_ROOM}, and try again")
    except KeyboardInterrupt:
        return 130


def _flush(stream: Any) -> OSError | None:
    """The error, where there is one, with the stream led to nowhere: Python's own flush at exit
    finds nothing that cannot be written, and leaves the exit status as it is.
    """
    if stream is None:  # as it is where it was closed before the start
        return None
    try:
        stream.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return error
    return None


class PrintAboveBar(logging.Handler):
    """Log lines go to stdout, above a progress bar where there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm

        tqdm.write(self.format(record))


def quiet_libraries() -> None:
    """Leaves out what Lightning, once imported, says that a user cannot act on."""
    for name in ("pytorch_lightning", "lightning_fabric", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    ignore_lightnings_own_warnings()
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*torch.jit.script_method.*")
    threading.excepthook = _report_thread


def ignore_lightnings_own_warnings() -> None:
    """Of each fit, about what Lightning itself calls of torch."""
    warnings.filterwarnings("ignore", message=".*treespec, LeafSpec.*", category=FutureWarning)


def _report_thread(failure: threading.ExceptHookArgs) -> None:
    """As ever, but for TensorBoard's writer on a full disk, of which the run's logger speaks."""
    of_tensorboard = type(failure.thread).__module__.startswith("tensorboard.")
    if not (of_tensorboard and issubclass(failure.exc_type, OSError)):
        threading.__excepthook__(failure)
