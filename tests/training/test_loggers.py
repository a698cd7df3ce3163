"""Curves that cannot be written do not end a run."""

import errno
from unittest.mock import patch

import pytest
from torch.utils.tensorboard import SummaryWriter

from transformer.training.loggers import RunLogger


@pytest.fixture
def logger(tmp_path):
    logger = RunLogger(tmp_path / "name" / "version_0")
    yield logger
    logger.finalize("success")


def test_a_full_disk_costs_scalars_and_one_warning(logger, caplog):
    full = OSError(errno.ENOSPC, "No space left on device")
    with caplog.at_level("WARNING"), patch.object(SummaryWriter, "add_scalar", side_effect=full):
        logger.log_metrics({"loss": 1.0}, step=1)
        logger.log_metrics({"loss": 1.0}, step=2)
    (record,) = caplog.records
    assert "curves cannot be written (No space left on device)" in record.message


def test_another_error_is_still_one(logger):
    wrong = patch.object(SummaryWriter, "add_scalar", side_effect=TypeError)
    with wrong, pytest.raises(ValueError, match="you tried to log"):
        logger.log_metrics({"loss": 1.0}, step=1)
