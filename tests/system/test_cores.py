"""The cores of a process: of its machine, of its affinity, and of a container's share of time."""

import os
import subprocess
import sys

import pytest

from transformer.system import cores
from transformer.system.cores import available_cores, prepare_threads

ALLOWED = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else {0}


@pytest.fixture(autouse=True)
def eight(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)


def write(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        ("0::/\n", {"cpu.max": "max 100000\n"}, 8),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "1000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "900000 100000\n"}, 8),
        ("0::/\n", {"cpu.max": "half a core\n"}, 8),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000", "a/cpu.max": "300000 100000"}, 3),
        ("0::/not/mounted\n", {"cpu.max": "400000 100000"}, 4),
        (
            "4:memory:/\n2:cpu,cpuacct:/docker/1\n",
            {"cpu/cpu.cfs_quota_us": "250000", "cpu/cpu.cfs_period_us": "100000"},
            3,
        ),
        ("1:cpu:/\n0::/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8),
        ("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "0"}, 8),
        ("no group", {}, 8),
    ],
)
def test_a_container_has_the_cores_of_its_quota(tmp_path, groups, files, expected):
    write(tmp_path, {"cgroup": groups} | files)
    assert available_cores(str(tmp_path / "cgroup"), str(tmp_path)) == expected


def test_without_cgroups_affinity_counts_and_without_that_the_machine(tmp_path, monkeypatch):
    nothing = str(tmp_path / "nothing")
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3, 5})
    assert available_cores(nothing, nothing) == 2
    monkeypatch.delattr(os, "sched_getaffinity")
    assert available_cores(nothing, nothing) == 8


@pytest.mark.parametrize(
    ("before", "num_cores", "after"),
    [
        ({}, 8, {"GOMP_SPINCOUNT": cores.SPINS_ALONE}),
        ({}, 2, {"GOMP_SPINCOUNT": cores.SPINS_ALONE, "OMP_NUM_THREADS": "2"}),
        ({"OMP_WAIT_POLICY": "active"}, 8, {"OMP_WAIT_POLICY": "active"}),
        (
            {"GOMP_SPINCOUNT": "7", "OMP_NUM_THREADS": "5"},
            2,
            {"GOMP_SPINCOUNT": "7", "OMP_NUM_THREADS": "5"},
        ),
    ],
)
def test_threads_are_as_many_as_cores_and_what_is_set_stays(monkeypatch, before, num_cores, after):
    monkeypatch.setattr(cores, "available_cores", lambda: num_cores)
    monkeypatch.setattr(cores, "others_use_cores", lambda: False)
    monkeypatch.setattr(os, "environ", dict(before))
    prepare_threads()
    assert os.environ == after


@pytest.mark.parametrize(
    ("percent", "own", "spins"),
    [
        ([0.0, 3.0, 0.0], {0, 1, 2}, cores.SPINS_ALONE),
        ([0.0, 100.0, 0.0], {0, 1, 2}, cores.SPINS_BESIDE_OTHERS),
        ([30.0, 0.0, 30.0], {0, 1, 2}, cores.SPINS_BESIDE_OTHERS),
        ([0.0, 100.0, 0.0], {0, 2}, cores.SPINS_ALONE),
        ([0.0], {0, 2}, cores.SPINS_ALONE),  # numbers of cores that are switched off
    ],
)
def test_threads_wait_longer_where_no_other_program_uses_their_cores(
    monkeypatch, percent, own, spins
):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: own)
    monkeypatch.setattr(cores.psutil, "cpu_percent", lambda seconds, percpu: percent)
    monkeypatch.setattr(os, "environ", {})
    prepare_threads()
    assert os.environ["GOMP_SPINCOUNT"] == spins


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="programs cannot be put on a core")
def test_a_program_on_the_same_core_is_seen(monkeypatch):
    core = min(ALLOWED)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {core})
    code = f"import os; os.sched_setaffinity(0, {{{core}}}); print(flush=True)\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        try:
            assert any(cores.others_use_cores() for _ in range(20))
        finally:
            other.kill()


def test_where_processes_share_the_cores_the_number_is_lightnings_unless_it_was_given(monkeypatch):
    monkeypatch.setattr(cores, "available_cores", lambda: 2)
    for before in ({}, {"OMP_NUM_THREADS": "5"}):
        monkeypatch.setattr(os, "environ", dict(before))
        prepare_threads()
        cores.leave_threads_to_lightning("auto")
        assert os.environ.get("OMP_NUM_THREADS") == before.get("OMP_NUM_THREADS")
        cores.leave_threads_to_lightning(3)
        assert os.environ["OMP_NUM_THREADS"] == "3"


def test_a_script_sets_it_before_torch_is_imported():
    code = "import os, sys; from transformer.system.terminal import run_script\n"
    code += "run_script(lambda: print('torch' in sys.modules, os.environ['GOMP_SPINCOUNT']))"
    environment = {key: value for key, value in os.environ.items() if key != "GOMP_SPINCOUNT"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    imported, spins = done.stdout.split()
    assert imported == "False", done.stderr
    assert spins in (cores.SPINS_ALONE, cores.SPINS_BESIDE_OTHERS)
