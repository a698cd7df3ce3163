"""Processes of scripts that are copies of one in which torch and Lightning were imported before.

To import them takes a script longer than most of what tests ask of it. A copy has a number,
descriptors, signals and an end of its own, as any process; what a script imports, and how soon, is
for tests that start a new one. `sweep.py` begins its runs in the same way.
"""

import gc
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

from tests.processes import HANGING_SECONDS

ROOT = Path(__file__).parents[1]
_HEADER = 8  # bytes that say how long a request is
# In a copy, the script ends as it does in a new process: by the end of the program.
_PROGRAM = """
import runpy
from tests.copies import serve
runpy.run_path(serve(), run_name="__main__")
"""


class Original:
    """A process that others are copies of; it has options of the interpreter, and variables."""

    def __init__(self, environment: Mapping[str, str], python: Sequence[str] = ()) -> None:
        self._channel, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, *python, "-c", _PROGRAM, str(theirs.fileno())],
                cwd=ROOT,
                env={**environment},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._channel.settimeout(HANGING_SECONDS)

    def run(self, script: Path, arguments: Sequence[str], cwd: Path, environment: Any) -> Any:
        """As subprocess.run: waits for the end of a copy that runs a script."""
        argv = [str(script), *arguments]
        request = json.dumps([argv, str(cwd), {**environment}]).encode()
        with _file() as out, _file() as err:
            descriptors = [out.fileno(), err.fileno()]
            socket.send_fds(self._channel, [len(request).to_bytes(_HEADER)], descriptors)
            self._channel.sendall(request)
            status = int(self._channel.recv(100).decode() or -signal.SIGKILL)
            said = [file.seek(0) or file.read() for file in (out, err)]
        return subprocess.CompletedProcess([sys.executable, *argv], status, *said)

    def kill(self) -> None:
        """With the copy that hangs, if one does."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self.end()

    def end(self) -> None:
        self._channel.close()
        self._process.wait(HANGING_SECONDS)


def _file() -> Any:
    return tempfile.TemporaryFile("w+", encoding="utf-8")


def serve() -> str:
    """Answers the requests for copies, in the original; in a copy, returns the script to run."""
    from transformer.sweep import preloaded  # noqa: F401

    gc.freeze()
    channel = socket.socket(fileno=int(sys.argv[1]))
    while True:
        header, descriptors, _, _ = socket.recv_fds(channel, _HEADER, 2)
        if not header:
            os._exit(0)
        request = json.loads(channel.recv(int.from_bytes(header), socket.MSG_WAITALL))
        if Path(request[0][0]).name == "sweep.py":
            _share_processes()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python 3.12 of threads; torch's have not begun
            number = os.fork()
        if number == 0:
            channel.close()
            return _become(*request, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        _, status = os.waitpid(number, 0)
        channel.sendall(str(os.waitstatus_to_exitcode(status)).encode())


def _share_processes() -> None:
    """Copies of sweep.py begin their runs as copies of one process, which imports torch once."""
    forkserver.set_forkserver_preload(["transformer.sweep.preloaded"])
    forkserver.ensure_running()


def _become(
    argv: list[str], cwd: str, environment: Mapping[str, str], descriptors: Sequence[int]
) -> str:
    """What a new process has from its start."""
    for number, descriptor in enumerate(descriptors, start=1):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(cwd)
    multiprocessing.process.ORIGINAL_DIR = cwd  # where its own processes start
    shared: Any = forkserver._forkserver
    if shared._forkserver_pid is not None:  # it runs, but is no child of this process
        shared.ensure_running = lambda: None
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = argv
    sys.path[0] = str(ROOT)
    return argv[0]
