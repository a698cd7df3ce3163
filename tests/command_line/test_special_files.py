"""Devices and pipes: none is replaced by a file, and none without an end is read."""

import sys

import pytest

import evaluate
import explain
import export
import generate
import plot
import prepare
import train
from transformer.storage.run_folder import WEIGHTS
from transformer.system.errors import UserError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="devices of POSIX")


@pytest.mark.parametrize(
    ("script", "flags"),
    [
        (prepare, "hamlet.txt --plan false --out {place}.html"),
        (explain, "{model} --prompt To --out {place}.html"),
        (export, "{model} --to html --force --out {place}.html"),
        (plot, "{run} --out {place}.png"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_no_file_is_written_in_the_place_of_a_device(short_runs, finished, tmp_path, script, flags):
    """The place is a link of the test's own: a fault must not reach the machine's devices."""
    for ending in ("html", "png"):
        (tmp_path / f"place.{ending}").symlink_to("/dev/null")
    names = {"model": finished.folder / WEIGHTS, "run": finished.folder, "place": "place"}
    with pytest.raises(UserError, match=r"cannot take the place of a device .* another --out"):
        script.main(flags.format(**names).split())
    assert (tmp_path / "place.html").is_symlink()
    assert (tmp_path / "place.png").is_symlink()


@pytest.mark.parametrize(
    ("script", "flags", "what"),
    [
        (prepare, "hamlet.txt --html /dev/full", "text file"),
        (train, "--config tiny.yaml --data_path /dev/full", "text file"),
        (train, "--config /dev/full", "config file"),
        (evaluate, "{model} --data_path /dev/full", "text file"),
        (generate, "{model} --prompt_file /dev/full", "prompt file"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_a_device_without_an_end_is_not_read(short_runs, finished, script, flags, what):
    with pytest.raises(UserError, match=f"^/dev/full: is a device, not a {what}: give a file$"):
        script.main(flags.format(model=finished.folder / WEIGHTS).split())
