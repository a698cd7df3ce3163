"""Ranks as Lightning, torchrun and SLURM tell them."""

import pytest

from transformer.system.errors import UserError
from transformer.system.processes import (
    check_launch,
    is_rank_0,
    launch_id,
    launched_sizes,
    num_sharing_cores,
    restarts_would_wait,
    was_restarted,
)

NAMES = (
    "WORLD_SIZE",
    "LOCAL_WORLD_SIZE",
    "MASTER_PORT",
    "SLURM_NTASKS",
    "SLURM_LOCALID",
    "SLURM_NODEID",
    "SLURM_NNODES",
    "SLURM_JOB_ID",
    "SLURM_STEP_ID",
    "SLURM_STEPID",
    "RANK",
    "NODE_RANK",
    "LOCAL_RANK",
    "SLURM_PROCID",
    "SLURM_NTASKS_PER_NODE",
    "SLURM_JOB_NAME",
    "TORCHELASTIC_MAX_RESTARTS",
    "TORCH_DISABLE_SHARE_RDZV_TCP_STORE",
    "TORCHELASTIC_RUN_ID",
    "TORCHELASTIC_RESTART_COUNT",
)


@pytest.fixture(autouse=True)
def nothing_told(monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({}, True),
        ({"LOCAL_RANK": "1"}, False),  # Lightning's helper
        ({"LOCAL_RANK": "1", "SLURM_PROCID": "0"}, False),  # in an interactive job too
        ({"LOCAL_RANK": "0", "NODE_RANK": "1"}, False),  # on the second machine
        ({"RANK": "5", "LOCAL_RANK": "0"}, False),  # torchrun's on another
        ({"RANK": "0", "LOCAL_RANK": "0", "SLURM_PROCID": "1"}, True),
        ({"SLURM_PROCID": "3"}, False),
    ],
)
def test_rank_0_is_the_first_of_all_processes(monkeypatch, told, expected):
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    assert is_rank_0() is expected


def test_sizes_are_torchruns(monkeypatch):
    assert launched_sizes() is None
    told = {"TORCHELASTIC_RUN_ID": "x", "LOCAL_WORLD_SIZE": "4", "WORLD_SIZE": "8"}
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    assert launched_sizes() == (4, 2)


def test_sizes_are_sruns_but_not_those_of_an_interactive_job(monkeypatch):
    for name, value in {"SLURM_NTASKS_PER_NODE": "8", "SLURM_NNODES": "3"}.items():
        monkeypatch.setenv(name, value)
    assert launched_sizes() == (8, 3)
    monkeypatch.setenv("SLURM_JOB_NAME", "bash")
    assert launched_sizes() is None


@pytest.mark.parametrize("name", ["TORCHELASTIC_RESTART_COUNT", "SLURM_RESTART_COUNT"])
def test_restarts_are_torchruns_and_slurms(monkeypatch, name):
    assert not was_restarted()
    monkeypatch.setenv(name, "0")
    assert not was_restarted()
    monkeypatch.setenv(name, "2")
    assert was_restarted()


def test_restarts_under_torchrun_need_a_store_of_their_own(monkeypatch):
    assert not restarts_would_wait()
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "0")
    assert not restarts_would_wait()
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "3")
    assert restarts_would_wait()
    monkeypatch.setenv("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "1")
    assert not restarts_would_wait()


def test_srun_gives_each_process_cores_of_its_own(monkeypatch):
    assert num_sharing_cores(4) == 4
    monkeypatch.setenv("SLURM_PROCID", "0")
    assert num_sharing_cores(4) == 1


def test_a_launch_has_the_id_that_the_user_gave(monkeypatch):
    assert launch_id() is None
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")  # torchrun's default
    assert launch_id() is None
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "mine")
    assert launch_id() == "mine"


TORCHRUN = {"TORCHELASTIC_RUN_ID": "x", "RANK": "1", "WORLD_SIZE": "4"}
TORCHRUN |= {"LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}
IN_A_JOB = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "1"}
IN_A_SCRIPT = IN_A_JOB | {"SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"}
BY_SRUN = IN_A_SCRIPT | {"SLURM_NTASKS": "4", "SLURM_NTASKS_PER_NODE": "2", "SLURM_STEP_ID": "0"}


def without(variables, *names):
    return {name: value for name, value in variables.items() if name not in names}


@pytest.mark.parametrize(
    "told",
    [
        {},
        TORCHRUN,
        {"RANK": "0", "WORLD_SIZE": "1"},
        IN_A_SCRIPT,
        BY_SRUN,
        without(BY_SRUN, "SLURM_JOB_ID", "SLURM_STEP_ID"),
        IN_A_JOB | {"SLURM_JOB_NAME": "interactive", "SLURM_NTASKS": "4"},
        {"LOCAL_RANK": "1", "WORLD_SIZE": "2", "NODE_RANK": "0"},  # Lightning's helper
        {"LOCAL_RANK": "0"},
    ],
)
def test_what_starts_processes_may_say_all_it_says(monkeypatch, told):
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    check_launch()


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (
            {"RANK": "0"},
            "RANK is set, but not LOCAL_RANK, WORLD_SIZE, LOCAL_WORLD_SIZE: start",
        ),
        (
            without(TORCHRUN, "RANK"),
            "TORCHELASTIC_RUN_ID is set, but not RANK: start with",
        ),
        (without(TORCHRUN, "TORCHELASTIC_RUN_ID"), "WORLD_SIZE is 4, but torchrun has not started"),
        (
            TORCHRUN | {"RANK": "4"},
            "RANK must be less than WORLD_SIZE, got RANK=4 and",
        ),
        (TORCHRUN | {"WORLD_SIZE": "four"}, "WORLD_SIZE must be a whole number, got 'four'"),
        ({"LOCAL_RANK": "1"}, "LOCAL_RANK is 1, but WORLD_SIZE is not set"),
        ({"MASTER_PORT": "tcp://10.0.0.1:5"}, "MASTER_PORT must be a whole number, got 'tcp:"),
        ({"SLURM_NTASKS": "abc"}, "SLURM_NTASKS must be a whole number, got 'abc': unset it"),
        (
            IN_A_JOB,
            "but not SLURM_PROCID, SLURM_LOCALID, SLURM_NODEID: srun did not start this process",
        ),
        (
            IN_A_SCRIPT | {"SLURM_NTASKS": "4"},
            "4 tasks for this job, but this process is not one of",
        ),
        (without(BY_SRUN, "SLURM_NTASKS_PER_NODE"), "ntasks-per-node in place of ntasks"),
        (BY_SRUN | {"SLURM_NNODES": ""}, "SLURM_NNODES must be a whole number, got ''"),
    ],
)
def test_variables_that_are_wrong_or_not_all_there_are_one_line(monkeypatch, told, words):
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=words) as caught:
        check_launch()
    assert "\n" not in str(caught.value)
