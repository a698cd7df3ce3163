"""generate.py as a process: terminals, pipes, Ctrl+C, lost streams."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.processes import HANGING_SECONDS
from transformer.generation.text import load

ROOT = Path(__file__).parents[2]
posix = pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell and terminals")

pytestmark = pytest.mark.slow  # of processes that import torch


@pytest.fixture(scope="module")
def model_path(finished):
    return finished.folder / "model.safetensors"


# A process that is started in the background of a shell, as tests may be, does not hear Ctrl+C.
HEARS_CTRL_C = """\
import pathlib, runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv = sys.argv[1:]
sys.path.insert(0, str(pathlib.Path(sys.argv[0]).parent))
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture
def start(model_path, environment, tmp_path):
    """generate.py as a process of its own, with a terminal for stdout where one is given."""
    processes = []

    def call(*flags, **streams):
        command = [sys.executable, "-c", HEARS_CTRL_C, ROOT / "generate.py", model_path]
        command += map(str, flags)
        streams = {"stdin": subprocess.DEVNULL, "stderr": subprocess.PIPE} | streams
        processes.append(subprocess.Popen(command, cwd=tmp_path, env=environment, **streams))
        return processes[-1]

    yield call
    for process in processes:
        process.kill()
        process.communicate()


def read_some(descriptor, count):
    """At least `count` characters of what a process writes to a terminal."""
    text = b""
    while len(text) < count:
        text += os.read(descriptor, 1024)
    return text.decode().replace("\r\n", "\n")


@posix
def test_on_a_terminal_text_appears_as_it_is_made_and_ctrl_c_ends_it(start):
    ours, theirs = os.openpty()
    process = start("--prompt", "To be", "--max_new_tokens", 10**9, stdout=theirs)
    os.close(theirs)
    text = read_some(ours, 200)  # of a text that would take days
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=HANGING_SECONDS)
    os.close(ours)
    assert text.startswith("To be")
    assert process.returncode == 130
    assert b"Traceback" not in errors


@posix
def test_ctrl_c_leaves_what_was_written_and_a_line_end(start, tmp_path):
    with (tmp_path / "out.txt").open("wb") as out:
        process = start("--prompt", "To be", "--max_new_tokens", 10**9, stdout=out)
        while not (tmp_path / "out.txt").stat().st_size:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=HANGING_SECONDS)
    text = (tmp_path / "out.txt").read_text(encoding="utf-8")
    assert text.startswith("To be")
    assert text.endswith("\n")
    assert process.returncode == 130


@posix
def test_a_reader_that_has_enough_ends_a_text_of_any_length(model_path, environment, tmp_path):
    command = (
        f'"{sys.executable}" "{ROOT / "generate.py"}" "{model_path}" --max_new_tokens 1000000000'
    )
    result = subprocess.run(
        f"{command} | head -1",
        shell=True,
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        timeout=HANGING_SECONDS,
    )
    assert result.stdout == b"\n"
    assert b"Traceback" not in result.stderr
    assert b"error" not in result.stderr


def test_interactive_reads_prompts_until_the_end_of_input(start, model_path):
    process = start(
        "--interactive",
        *("--precision", "float32"),
        *("--seed", 5, "--max_new_tokens", 9),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    lines = b"To \n/temperature 0\n/reset\nWhe\n"
    output, errors = process.communicate(lines, timeout=HANGING_SECONDS)
    generator = load(model_path, "cpu", "float32")
    (first,) = generator.generate("To ", max_new_tokens=9, temperature=0.8, seed=5)
    (second,) = generator.generate("Whe", max_new_tokens=9, temperature=0.0)
    assert process.returncode == 0
    assert first in output.decode()
    assert second in output.decode()
    assert b"temperature 0" in output
    assert b"Traceback" not in errors


@posix
@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full"])
def test_a_lost_stderr_changes_nothing_on_stdout(model_path, environment, tmp_path, redirection):
    flags = "--prompt To --seed 1 --max_new_tokens 5 --json"
    script = f'"{sys.executable}" "{ROOT / "generate.py"}" "{model_path}" {flags}'
    result = subprocess.run(
        f"{script} {redirection}", shell=True, cwd=tmp_path, env=environment, capture_output=True
    )
    assert result.returncode == 0
    assert json.loads(result.stdout)["prompt"] == "To"


@posix
def test_a_prompt_loop_without_stdin_is_one_line(model_path, environment, tmp_path):
    script = f'"{sys.executable}" "{ROOT / "generate.py"}" "{model_path}" --interactive <&-'
    result = subprocess.run(
        script, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 2
    assert "stdin, which is closed" in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr


# As Ctrl+C in the middle of an import, when the process comes to it, however fast it is.
CTRL_C_AT = """\
import signal, sys
wanted = sys.argv.pop(1)
class CtrlC:
    def find_spec(self, name, path=None, target=None):
        if name == wanted:
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, CtrlC())
"""


@posix
@pytest.mark.parametrize("module", ["torch", "torch.nn.functional", "transformer.generation.text"])
def test_ctrl_c_during_the_imports_ends_it(model_path, environment, tmp_path, module):
    """Once the script itself is imported."""
    hears = HEARS_CTRL_C.replace("sys.argv = ", f"{CTRL_C_AT}sys.argv = ")
    command = [sys.executable, "-c", hears, module, ROOT / "generate.py", model_path]
    result = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, timeout=HANGING_SECONDS
    )
    assert result.returncode == 130
    assert result.stdout == b""
    assert b"Traceback" not in result.stderr
