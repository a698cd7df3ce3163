"""One process at a time trains in a run's folder; who is gone keeps nobody out."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from transformer.storage import run_lock
from transformer.storage.run_lock import LOCK, Holder, RunLock, holder_of
from transformer.system.errors import UserError

HOLD = """
import sys, time
from pathlib import Path
from transformer.storage.run_lock import RunLock
lock = RunLock()
lock.take(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture
def other(tmp_path):
    """Another process that holds the lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


@pytest.fixture
def quick(monkeypatch):
    """What takes seconds takes hundredths."""
    monkeypatch.setattr(run_lock, "BEAT_SECONDS", 0.02)
    monkeypatch.setattr(run_lock, "SILENT_SECONDS", 0.3)


def test_a_folder_that_another_process_holds_is_refused_with_who_it_is(tmp_path, other):
    lock = RunLock()
    with pytest.raises(UserError, match=rf"process {other.pid} on .*, started at \d{{4}}-.* is tr"):
        lock.take(tmp_path)
    assert holder_of(tmp_path).pid == other.pid
    other.kill()  # as kill -9 does
    other.wait()
    assert (tmp_path / LOCK).exists()
    assert holder_of(tmp_path) is None
    lock.take(tmp_path)
    lock.release()


def test_the_lock_ends_with_its_block_whatever_ends_that(tmp_path):
    def train() -> None:
        with RunLock() as lock:
            lock.take(tmp_path)
            assert json.loads((tmp_path / LOCK).read_text(encoding="utf-8"))["pid"] == os.getpid()
            with pytest.raises(UserError, match="is training this run"):  # nor twice in a process
                RunLock().take(tmp_path)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train()
    assert list(tmp_path.iterdir()) == []
    with RunLock() as lock:
        lock.take(tmp_path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on Windows")
def test_a_worker_that_outlives_its_killed_run_does_not_hold_the_lock(tmp_path):
    code = HOLD.replace('print("held", flush=True)', "if pid := os.fork(): print(pid, flush=True)")
    process = subprocess.Popen(
        [sys.executable, "-c", f"import os\n{code}", str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    worker = int(process.stdout.readline())
    process.kill()
    process.wait()
    try:
        with process.stdout, RunLock() as lock:
            lock.take(tmp_path)
    finally:
        os.kill(worker, 9)


def left_by(folder: Path, **changes) -> None:
    """A lock whose process is gone."""
    holder = Holder.this_process()._replace(pid=2**22 + 1, **changes)
    (folder / LOCK).write_text(json.dumps(holder._asdict()), encoding="utf-8")


def test_one_left_on_this_machine_is_taken_over_at_once_and_that_is_said(tmp_path, caplog):
    """Also where its number is another process's by now, as process 1's is in every container."""
    left_by(tmp_path, host="a container")
    with caplog.at_level("INFO"), RunLock() as lock:
        lock.take(tmp_path)
    assert "waiting" not in caplog.text
    assert "on a container, started at" in caplog.text
    assert "has ended without removing its lock; this one goes on" in caplog.text


def test_one_left_on_another_machine_is_taken_over_once_it_has_been_silent(tmp_path, quick):
    left_by(tmp_path, host="node7", machine="of another start")
    assert holder_of(tmp_path).host == "node7"
    with RunLock() as lock:
        lock.take(tmp_path)
        assert lock.is_at(tmp_path)


def test_one_on_another_machine_that_is_renewed_is_refused(tmp_path, quick, monkeypatch):
    with RunLock() as theirs:
        theirs.take(tmp_path)  # whose machine's locks are not seen here
        monkeypatch.setattr(run_lock, "_lock", lambda file, shared=False: None)
        with pytest.raises(UserError, match=rf"if there is no such process, delete .*{LOCK}"):
            RunLock().take(tmp_path)


@pytest.mark.parametrize("text", ["", "half of it {", "[]", '{"pid": 3}'])
def test_a_file_that_names_nobody_keeps_nobody_out(tmp_path, text):
    (tmp_path / LOCK).write_text(text, encoding="utf-8")
    with RunLock() as lock:
        lock.take(tmp_path)


def test_where_no_lock_can_be_written_the_reason_is_raised(tmp_path):
    with pytest.raises(OSError, match="No such file"):
        RunLock().take(tmp_path / "nowhere")


def test_ranks_above_0_take_no_lock_and_do_not_mind_that_of_their_own_run(tmp_path, monkeypatch):
    with RunLock() as lock:
        lock.take(tmp_path)
        monkeypatch.setattr(run_lock, "is_rank_0", lambda: False)
        monkeypatch.setattr(os, "getppid", os.getpid)  # as Lightning starts them
        RunLock().take(tmp_path)
        assert holder_of(tmp_path) is None


def test_a_folder_that_was_moved_or_replaced_has_the_lock_no_more(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    with RunLock() as lock:
        lock.take(folder)
        assert lock.is_at(folder)
        folder.rename(tmp_path / "moved")
        assert not lock.is_at(folder)
        folder.mkdir()
        lock.take(folder)
        assert lock.is_at(folder)
        with RunLock() as other:
            other.take(tmp_path / "moved")
    assert not (folder / LOCK).exists()
