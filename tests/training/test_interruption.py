"""Which errors mean that another process was lost. For signals see test_trouble.py."""

import sys
from unittest.mock import Mock

import pytest
import pytorch_lightning as pl
from torch import distributed

from transformer.training.callbacks.interruption import ended_together, is_lost_connection


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:5"),
        RuntimeError("writev [10.77.0.1]:6: Broken pipe"),
        RuntimeError("Gloo connectFullMesh failed with timed out connecting: SO_ERROR: Connection"),
        RuntimeError("Timed out waiting 1800000ms for recv operation to complete"),
        distributed.DistBackendError("NCCL communicator was aborted on rank 0"),
    ],
    ids=["closed", "broken", "never came", "silent", "NCCL"],
)
def test_what_torch_says_of_a_rank_that_is_lost(error):
    assert is_lost_connection(error)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("Error(s) in loading state_dict for GPT: size mismatch"),
        ValueError("the mean was replaced by peers"),
    ],
)
def test_what_is_wrong_with_the_run_itself_is_another_error(error):
    assert not is_lost_connection(error)


def trainer_with(launcher):
    return Mock(pl.Trainer, global_rank=0, strategy=Mock(launcher=launcher))


def test_rank_0_ends_those_that_it_started_and_leaves_none_to_be_watched():
    started = [Mock(), Mock()]
    launcher = Mock(procs=list(started))
    with pytest.raises(ValueError, match="mine"), ended_together(trainer_with(launcher)):
        raise ValueError("mine")
    assert launcher.procs == []
    for process in started:
        process.kill.assert_called_once()


def exit_as_lightning_does():
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        sys.exit(1)


def test_ctrl_c_that_lightning_made_an_exit_of_is_ctrl_c_again():
    with pytest.raises(KeyboardInterrupt), ended_together(trainer_with(None)):
        exit_as_lightning_does()
