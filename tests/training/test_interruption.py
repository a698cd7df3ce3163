"""Which errors mean that another process was lost; what signals do is in test_trouble.py."""

import pytest
from torch import distributed

from transformer.training.interruption import is_lost_connection


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
