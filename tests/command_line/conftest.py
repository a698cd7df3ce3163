"""The scripts as a user runs them: real processes and real files in a temporary folder."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock  # which torch needs

from tests.copies import Original
from tests.processes import HANGING_SECONDS

ROOT = Path(__file__).parents[2]
Script = Callable[..., subprocess.CompletedProcess[str]]

# Hamlet, act 3, scene 1.
TEXT = """\
To be, or not to be, that is the question:
Whether 'tis nobler in the mind to suffer
The slings and arrows of outrageous fortune,
Or to take arms against a sea of troubles
And by opposing end them. To die--to sleep,
No more; and by a sleep to say we end
The heart-ache and the thousand natural shocks
That flesh is heir to: 'tis a consummation
Devoutly to be wish'd. To die, to sleep;
To sleep, perchance to dream--ay, there's the rub:
For in that sleep of death what dreams may come,
When we have shuffled off this mortal coil,
Must give us pause--there's the respect
That makes calamity of so long life.
For who would bear the whips and scorns of time,
The oppressor's wrong, the proud man's contumely,
The pangs of despised love, the law's delay,
The insolence of office, and the spurns
That patient merit of the unworthy takes,
When he himself might his quietus make
With a bare bodkin? Who would fardels bear,
To grunt and sweat under a weary life,
But that the dread of something after death,
The undiscover'd country, from whose bourn
No traveller returns, puzzles the will,
And makes us rather bear those ills we have
Than fly to others that we know not of?
"""

# Of 70 steps of 112 tokens, 7 passes over the text: long enough to learn, a second long.
TINY = """\
batch_size: 7
epochs: 2
lr: 1e-2
data_path: hamlet.txt
block_size: 16
num_heads: 2
embedding_dim: 22
num_blocks: 1
num_workers: 0
accelerator: cpu
precision: float32
max_steps: 70
val_every_steps: 30
sample_prompt: "To "
"""


@dataclass(frozen=True)
class Finished:
    """A run that trained to its end through the command line."""

    home: Path  # where it was started
    folder: Path  # config.yaml and the rest, within home
    output: str
    summary: dict[str, Any]


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """One thread, as tiny matrices on shared cores want it; no GPU, even where there is one."""
    import matplotlib

    changes = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONUNBUFFERED": "1"}
    changes["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))  # not the user's
    changes["MPLCONFIGDIR"] = matplotlib.get_configdir()  # but the fonts that matplotlib knows
    return {k: v for k, v in os.environ.items() if k != "PYTHONWARNINGS"} | changes


@pytest.fixture(scope="session")
def start_anew(environment: dict[str, str]) -> Script:
    """`run` in a process that imports for itself what it needs."""

    def call(
        script: str, *arguments: Any, cwd: Path, python: tuple[str, ...] = (), **variables: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *python, ROOT / script, *map(str, arguments)],
            cwd=cwd,
            env=environment | variables,
            capture_output=True,
            encoding="utf-8",
            timeout=HANGING_SECONDS,
        )

    return call


@pytest.fixture(scope="session")
def run(environment: dict[str, str], start_anew: Script) -> Iterator[Script]:
    """`run("train.py", "--help", cwd=folder)`; `python` holds options of the interpreter.

    The process is a copy of one that has imported torch, where it is not given other variables: at
    its import, torch reads some.
    """
    originals: dict[tuple[str, ...], Original] = {}

    def call(
        script: str, *arguments: Any, cwd: Path, python: tuple[str, ...] = (), **variables: str
    ) -> subprocess.CompletedProcess[str]:
        if variables or sys.platform != "linux":
            return start_anew(script, *arguments, cwd=cwd, python=python, **variables)
        if python not in originals:
            originals[python] = Original(environment, python)
        try:
            return originals[python].run(ROOT / script, [*map(str, arguments)], cwd, environment)
        except BaseException:  # it hangs, or the tests are ended
            originals.pop(python).kill()
            raise

    yield call
    for original in originals.values():
        original.end()


@pytest.fixture(scope="session")
def write_inputs() -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / "hamlet.txt").write_text(TEXT, encoding="utf-8", newline="\n")
        (folder / "tiny.yaml").write_text(TINY, encoding="utf-8")

    return write


@pytest.fixture(scope="session")
def finished(
    tmp_path_factory: pytest.TempPathFactory,
    start_anew: Script,
    write_inputs: Callable[[Path], None],
) -> Finished:
    """Trained once for all tests, which leave it as it is; every warning is an error in it."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base  # all workers' folder
    home, said = base / "finished", base / "finished.txt"
    with FileLock(base / "finished.lock"):
        if not said.exists():
            home.mkdir(exist_ok=True)
            write_inputs(home)
            result = start_anew(
                "train.py", "--config", "tiny.yaml", cwd=home, python=("-W", "error")
            )
            assert result.returncode == 0, result.stderr
            said.write_text(result.stdout + result.stderr, encoding="utf-8")
    folder = home / "runs" / "tiny" / "version_0"
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    return Finished(home, folder, said.read_text(encoding="utf-8"), summary)


@pytest.fixture
def short_runs(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    write_inputs: Callable[[Path], None],
    not_drawn: dict[str, Callable],
) -> None:
    """Runs in this process and in tmp_path, with short samples and without pictures."""
    write_inputs(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PL_GLOBAL_SEED", "0")  # Lightning sets it; this takes it back
    monkeypatch.setattr("transformer.tasks.text_run.SAMPLE_TOKENS", 5)
    for name, function in not_drawn.items():
        monkeypatch.setattr(name, function)


@pytest.fixture
def train_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, short_runs: None
) -> Callable[..., Path]:
    """`train.train` in this process and in tmp_path, with keys changed; gives the run's folder."""
    import torch
    from tensorboard.summary.writer import event_file_writer

    import train
    from transformer.config.files import load_config

    # Files of one second are ordered by this number, as text: so many digits stay as many.
    monkeypatch.setattr(event_file_writer, "_global_uid", event_file_writer.AtomicCounter(100))
    torch.set_num_threads(1)

    def call(
        config: str = "tiny.yaml",
        resume: Path | None = None,
        callbacks: tuple | list = (),
        **changes: Any,
    ) -> Path:
        return tmp_path / train.train(load_config(config, changes), resume, callbacks=callbacks)

    return call


@pytest.fixture
def call(short_runs: None, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """A script's main in this process and in tmp_path; gives what it has printed on stdout."""

    def run(script: Any, *flags: Any) -> str:
        capsys.readouterr()
        assert script.main([str(flag) for flag in flags]) == 0
        return capsys.readouterr().out

    return run


@pytest.fixture
def repeat(short_runs: None, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """`train.py --repeat` in this process; gives its exit status and what it printed."""

    import train

    def call(run: Path, *flags: Any) -> tuple[int, str]:
        capsys.readouterr()
        status = train.main(["--repeat", str(run), *map(str, flags)])
        return status, capsys.readouterr().out

    return call


@pytest.fixture(scope="session")
def summary_of() -> Callable[[Path], dict[str, Any]]:
    def read(folder: Path) -> dict[str, Any]:
        return json.loads((folder / "summary.json").read_text(encoding="utf-8"))

    return read


@pytest.fixture
def swept(run, tmp_path, write_inputs):
    """sweep.py with tiny.yaml in a process; gives the finished process."""
    write_inputs(tmp_path)

    def call(*flags, **variables):
        config = () if "--resume" in flags else ("--config", "tiny.yaml")
        return run("sweep.py", *config, *flags, cwd=tmp_path, **variables)

    return call
