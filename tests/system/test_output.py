"""What is written to a reader that has gone is lost, and nothing else is."""

import errno
import io
import subprocess
import sys

import pytest

from transformer.system.output import LastingStream, lasting_output


class Broken(io.StringIO):
    """A stream on which the system gives an error."""

    def __init__(self, number):
        super().__init__()
        self.number = number

    def write(self, text):
        raise OSError(self.number, "lost")

    def flush(self):
        raise OSError(self.number, "lost")


def closed():
    stream = io.StringIO()
    stream.close()
    return stream


LOST = [Broken(n) for n in (errno.EPIPE, errno.EIO, errno.ENOSPC, errno.EBADF)] + [closed(), None]
NAMES = ["pipe", "terminal", "disk", "descriptor", "closed", "none"]


@pytest.mark.parametrize("stream", LOST, ids=NAMES)
def test_writing_to_a_reader_that_has_gone_never_fails(monkeypatch, stream):
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", stream)
    with lasting_output():
        print("a line", flush=True)
        sys.stderr.writelines(["one\n", "two\n"])
        sys.stderr.flush()
        assert not sys.stderr.isatty()
        with lasting_output():
            print("another")
    assert sys.stdout is stream
    assert sys.stderr is stream


def test_a_reader_that_is_there_gets_all_of_it(monkeypatch):
    monkeypatch.setattr(sys, "stdout", stream := io.StringIO())
    with lasting_output():
        print("a line")
        assert sys.stdout.getvalue() == "a line\n"
    assert stream.getvalue() == "a line\n"


def test_characters_that_an_encoding_lacks_are_written_as_escapes():
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
    assert LastingStream(stream).write("\u65e5 a") == 3
    assert stream.buffer.getvalue() == b"\\u65e5 a"


@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell closes descriptors")
def test_a_file_never_gets_the_number_of_a_closed_stdout(tmp_path):
    """What C code prints would go into it, and so would what a child process prints."""
    code = (
        "import os, subprocess, sys; from transformer.system.terminal import run_script\n"
        "def main():\n"
        "    with open('file', 'wb') as file:\n"
        "        os.write(1, b'printed'); os.write(2, b'warned')\n"
        "        subprocess.run([sys.executable, '-S', '-c', 'print(1)'])\n"
        "        return file.fileno()\n"
        "run_script(main)\n"
    )
    command = ["sh", "-c", '"$0" -c "$1" <&- >&- 2>&-', sys.executable, code]
    done = subprocess.run(command, cwd=tmp_path, env={"PYTHONPATH": ":".join(sys.path)})
    assert done.returncode > 2
    assert (tmp_path / "file").read_bytes() == b""
