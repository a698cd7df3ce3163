"""A run outlives whoever reads it, and heeds signals at every moment."""

import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import pytorch_lightning as pl

from tests.marks import first_fast
from tests.processes import HANGING_SECONDS, processor_seconds
from transformer.storage.model_file import load_model
from transformer.storage.run_folder import LAST, SUMMARY, WEIGHTS
from transformer.system.signals import SIGNALS
from transformer.tasks.text_run import TextRun
from transformer.training.callbacks.after_batch import AfterBatch

ROOT = Path(__file__).parents[2]

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals and shells of POSIX")


def own_handler(number, frame):
    pytest.fail("a run did not hear the signal")


@pytest.fixture
def handled():
    """SIGTERM has a handler of the process's own; gives what all signals have."""
    before = signal.signal(signal.SIGTERM, own_handler)
    yield {number: signal.getsignal(number) for number in SIGNALS}
    signal.signal(signal.SIGTERM, before)


def handlers():
    return {number: signal.getsignal(number) for number in SIGNALS}


class Raise(AfterBatch):
    """An error, or a signal, in the step or the validation after `step`."""

    def __init__(self, step, error=None, in_validation=False):
        self.step, self.error, self.in_validation = step, error, in_validation

    def after_batch(self, trainer, batch):
        if not self.in_validation:
            self._act(trainer)

    def on_validation_start(self, trainer, pl_module):
        if self.in_validation:
            self._act(trainer)

    def _act(self, trainer):
        if trainer.global_step == self.step:
            if self.error is not None:
                raise self.error
            signal.raise_signal(signal.SIGTERM)


@posix
def test_after_a_run_the_handlers_of_the_process_are_back(train_here, handled):
    train_here(max_steps=2)
    assert handlers() == handled
    with pytest.raises(ZeroDivisionError):
        train_here(max_steps=2, callbacks=[Raise(1, ZeroDivisionError())])
    assert handlers() == handled
    with pytest.raises(SystemExit):
        train_here(max_steps=2, callbacks=[Raise(1)])
    assert handlers() == handled


class Handlers(pl.Callback):
    def on_train_start(self, trainer, pl_module):
        self.found = signal.getsignal(signal.SIGTERM)


@posix
def test_lightning_sets_no_handlers_of_its_own(train_here, handled):
    """Its SIGTERM is lost between two batches, and it does not put back what C code has set."""
    train_here(max_steps=2, callbacks=[seen := Handlers()])
    assert type(seen.found.__self__).__name__ == "Signals"


@posix
@pytest.mark.parametrize(
    ("moment", "max_minutes"),
    first_fast(
        [("score", 5), ("score", None), ("last validation", None), ("last lines", None)],
        several=True,
    ),
)
def test_a_signal_after_the_last_step_ends_a_saved_run_and_resuming_sums_it_up(
    train_here, summary_of, tmp_path, monkeypatch, caplog, handled, moment, max_minutes
):
    caplog.set_level("INFO")
    name = {"score": "score", "last lines": "headline"}.get(moment)
    with monkeypatch.context() as patch:
        if name:
            real = getattr(TextRun, name)

            def interrupted(self, given):
                signal.raise_signal(signal.SIGTERM)
                return real(self, given)

            patch.setattr(TextRun, name, interrupted)
        callbacks = [] if name else [Raise(4, in_validation=True)]
        with pytest.raises(SystemExit) as left:
            train_here(max_steps=4, max_minutes=max_minutes, callbacks=callbacks)
    assert left.value.code == 143
    folder = tmp_path / "runs" / "gpt" / "version_0"
    load_model(folder / WEIGHTS)
    if moment == "last lines":
        assert "the run is finished" in caplog.messages[-1]
    else:
        assert "stopped after step 4; everything is saved" in caplog.messages[-2]
        assert not (folder / SUMMARY).exists()
        train_here(str(folder / "config.yaml"), resume=folder / LAST)
    assert summary_of(folder)["step"] == 4


def test_a_run_in_another_thread_trains_without_the_signals(train_here, summary_of):
    folders = []
    thread = threading.Thread(target=lambda: folders.append(train_here(max_steps=2)))
    thread.start()
    thread.join()
    assert summary_of(folders[0])["step"] == 2


class Gone:
    """stdout after `head -1`."""

    encoding = "utf-8"

    def write(self, text=""):
        raise BrokenPipeError

    flush = isatty = write


@pytest.mark.parametrize("stream", [Gone(), None], ids=["gone", "closed"])
def test_a_run_trains_on_where_nobody_reads(train_here, summary_of, monkeypatch, stream):
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        patch.setattr(sys, "stderr", stream)
        folder = train_here(max_steps=4, val_every_steps=2)
    assert summary_of(folder)["step"] == 4


@posix
@pytest.mark.parametrize(
    "name", first_fast(["it's `id`", "cost $5 $HOME", "a&b", "x;y", "-x", "~"])
)
def test_printed_commands_name_the_run_whatever_it_is_called(train_here, capsys, caplog, name):
    """Its folder and the folder of runs, for a shell and then for the flags of the script."""
    from transformer.config.flags import path_argument

    caplog.set_level("INFO")
    folder = train_here(max_steps=1, runs_dir=f"./{name}", run_name=name)
    said = capsys.readouterr().out
    path, flag, *_ = shlex.split(re.search(r"python generate\.py (.+)", said)[1])
    assert Path(path_argument(path)).resolve() == folder / WEIGHTS
    assert not path.startswith("-")
    assert flag.startswith("--prompt")
    (runs_dir,) = shlex.split(re.search(r"tensorboard --logdir (.+)", said)[1])
    assert Path(path_argument(runs_dir)).resolve() == folder.parents[1]
    with pytest.raises(SystemExit):
        train_here(max_steps=4, runs_dir=f"./{name}", run_name=name, callbacks=[Raise(1)])
    (path,) = shlex.split(re.search(r"python train\.py --resume (.+)", caplog.text)[1])
    assert Path(path_argument(path)).resolve() == folder.with_name("version_1")


def start(tmp_path, environment, redirection="", *flags, **options):
    """train.py through a shell that ends with its status."""
    words = map(str, (sys.executable, ROOT / "train.py", "--config", "tiny.yaml", *flags))
    command = ["bash", "-c", f"{shlex.join(words)} {redirection}; exit ${{PIPESTATUS[0]}}"]
    return subprocess.Popen(
        command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True, **options
    )


@posix
@pytest.mark.slow  # of processes that import torch
@pytest.mark.parametrize(
    ("redirection", "statuses"),
    [
        ("2>&1 | head -1 > first", [0]),
        (">&- 2>&- <&-", [0]),
        ("> /dev/full 2> /dev/full", [0, 2]),  # what was to be printed was asked for, too
    ],
)
def test_a_run_of_the_command_line_is_saved_wherever_its_output_goes(
    write_inputs, environment, tmp_path, summary_of, redirection, statuses
):
    write_inputs(tmp_path)
    quiet = {k: v for k, v in environment.items() if k != "PYTHONUNBUFFERED"}
    process = start(tmp_path, quiet, redirection)
    _, errors = process.communicate(timeout=HANGING_SECONDS)
    assert process.returncode in statuses
    assert "Traceback" not in errors
    assert "Exception ignored" not in errors
    folder = tmp_path / "runs" / "tiny" / "version_0"
    assert summary_of(folder)["step"] == 70
    if "head" in redirection:
        first = (tmp_path / "first").read_text(encoding="utf-8")
        assert first == "reading hamlet.txt and loading PyTorch ...\n"


@posix
@pytest.mark.slow  # of processes that import torch
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGUSR1", "SIGHUP"])
def test_before_the_first_step_a_signal_ends_the_command_line_at_once(
    write_inputs, environment, tmp_path, name
):
    write_inputs(tmp_path)
    code = (
        f"import runpy, signal, sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "for n in (signal.SIGINT, signal.SIGHUP):\n"  # as a terminal starts a process
        "    signal.signal(n, [signal.SIG_DFL, signal.default_int_handler][n == signal.SIGINT])\n"
        "sys.argv = ['train.py', '--config', 'tiny.yaml']\n"
        f"runpy.run_path({str(ROOT / 'train.py')!r}, run_name='__main__')\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    before = processor_seconds()
    assert process.stdout.readline().startswith("reading hamlet.txt")
    time.sleep(0.5)  # in the middle of the imports
    os.kill(process.pid, getattr(signal, name))
    _, errors = process.communicate(timeout=HANGING_SECONDS)
    assert process.returncode == 128 + getattr(signal, name)
    assert errors == ""
    assert processor_seconds() - before < 30
    assert not (tmp_path / "runs").exists()
