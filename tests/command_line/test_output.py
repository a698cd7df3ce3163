"""Where the output goes is no reason for a traceback."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow  # of processes that import torch


def generate(finished, environment, redirection):
    """Through a shell, as a user redirects."""
    command = f'"{sys.executable}" "{ROOT / "generate.py"}" --max_new_tokens 5 {redirection}'
    return subprocess.run(
        command, shell=True, cwd=finished.home, env=environment, capture_output=True, text=True
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full here")
def test_a_full_disk_is_one_line_and_status_2(finished, environment):
    result = generate(finished, environment, "> /dev/full")
    assert result.returncode == 2
    assert "No space left on device" in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell's redirections")
@pytest.mark.parametrize("redirection", [">&-", "| true"])
def test_a_reader_that_is_gone_is_no_error(finished, environment, redirection):
    result = generate(finished, environment, redirection)
    assert result.returncode == 0
    assert "Traceback" not in result.stderr
