"""Ranks as Lightning, torchrun and SLURM tell them."""

import pytest

from transformer.processes import (
    is_rank_0,
    launch_id,
    launched_sizes,
    num_sharing_cores,
    restarts_would_wait,
    was_restarted,
)

NAMES = (
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
