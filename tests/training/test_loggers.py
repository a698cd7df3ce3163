"""A run goes on when its curves cannot be written."""

import errno
from pathlib import Path
from unittest.mock import patch

import pytest
import pytorch_lightning as pl
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import metadata
from torch.utils.tensorboard import SummaryWriter

from transformer.storage.events import read_events
from transformer.training.callbacks.showing import Introduction
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


@pytest.fixture
def introduced(logger):
    """The events of a run that has introduced itself."""
    keys = {"lr": 1e-3, "patience": None, "bias": True, "model": "gpt", "sizes": [2, 3]}
    introduction = Introduction("lr: 1e-3", keys, {"error rates": ["val_word_error_rate"]})
    quiet = {"enable_progress_bar": False, "enable_model_summary": False}
    trainer = pl.Trainer(accelerator="cpu", logger=logger, enable_checkpointing=False, **quiet)
    introduction.on_train_start(trainer, pl.LightningModule())
    logger.save()
    return read_events(Path(logger.log_dir))


def test_both_losses_are_on_one_chart_which_is_the_first(introduced):
    (event,) = introduced.Tensors("custom_scalars__config__")
    layout = layout_pb2.Layout.FromString(event.tensor_proto.string_val[0])
    first = layout.category[0]
    assert [chart.title for chart in first.chart] == ["train_loss and val_loss", "error rates"]
    assert list(first.chart[0].multiline.tag) == ["^train_loss$", "^val_loss$"]


def test_runs_can_be_compared_by_the_keys_of_their_configs(introduced):
    """None declares the experiment for all: then TensorBoard would look at no other run's keys."""
    found = introduced.PluginTagToContent("hparams")
    assert set(found) == {metadata.SESSION_START_INFO_TAG}
    content = found[metadata.SESSION_START_INFO_TAG]
    keys = metadata.parse_session_start_info_plugin_data(content).hparams
    assert set(keys) == {"lr", "bias", "model", "sizes"}
    assert keys["lr"].number_value == 1e-3
    assert keys["bias"].string_value == "true"
    assert keys["model"].string_value == "gpt"
    assert keys["sizes"].string_value == "[2, 3]"
