"""TensorBoard's own HParams backend shows each run of a sweep with its keys and exact loss."""

import warnings
from unittest.mock import patch

import pytest

from transformer.storage.curves import read_curves
from transformer.sweep.hparams import write_hparams
from transformer.sweep.trial import Result, Trial

with warnings.catch_warnings(action="ignore"):  # of a library inside it
    from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
    from tensorboard.context import RequestContext
    from tensorboard.plugins import base_plugin
    from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups


def sessions(folder):
    """The keys that differ, and by run its values of these and its metrics."""
    runs = plugin_event_multiplexer.EventMultiplexer(tensor_size_guidance={"scalars": 10})
    runs.AddRunsFromDirectory(str(folder))
    runs.Reload()
    provider = data_provider.MultiplexerDataProvider(runs, str(folder))
    backend = backend_context.Context(base_plugin.TBContext(data_provider=provider))
    request = RequestContext()
    found = backend.hparams_metadata(request, "")
    experiment = backend.experiment_from_metadata(request, "", True, found, [])
    differing = [info.name for info in experiment.hparam_infos if info.differs]
    asked = api_pb2.ListSessionGroupsRequest(slice_size=9, include_metrics=True)
    asked.allowed_statuses.append(api_pb2.STATUS_SUCCESS)
    for info in experiment.metric_infos:
        asked.col_params.add().metric.CopyFrom(info.name)
    for name in differing:
        asked.col_params.add().hparam = name
    answer = list_session_groups.Handler(request, backend, "", asked).run()
    return differing, {
        group.name: (
            {name: group.hparams[name].number_value for name in differing},
            {value.name.tag: value.value for value in group.metric_values},
        )
        for group in answer.session_groups
    }


@pytest.fixture
def results(tmp_path):
    """Two runs as TensorBoard's files, and one that failed."""
    import pytorch_lightning as pl

    from transformer.training.callbacks.showing import Introduction
    from transformer.training.loggers import RunLogger

    found = []
    for lr, loss in ((0.1, 2.5), (0.01, 1.25), (9.0, None)):
        run = tmp_path / f"lr-{lr}" / "version_0"
        run.mkdir(parents=True)
        logger = RunLogger(run)
        keys = {"lr": lr, "batch_size": 7, "model": "gpt"}
        quiet = {"enable_progress_bar": False, "enable_model_summary": False}
        trainer = pl.Trainer(accelerator="cpu", logger=logger, enable_checkpointing=False, **quiet)
        Introduction("", keys, {}).on_train_start(trainer, pl.LightningModule())
        logger.log_metrics({"val_loss": 3.0}, step=10)
        logger.finalize("success")
        trial = Trial({"lr": lr}, 0, {}, run.parent.name)
        found.append(Result(trial, run, loss, {"step": 20}, None if loss else "failed"))
    return found


def test_each_run_appears_with_its_keys_and_its_exact_loss(results, tmp_path):
    for _ in range(2):  # the second time adds nothing
        write_hparams(results, "val_loss")
    differing, found = sessions(tmp_path)
    assert differing == ["lr"]
    assert found == {
        "lr-0.1/version_0": ({"lr": 0.1}, {"exact_val_loss": 2.5, "val_loss": 3.0}),
        "lr-0.01/version_0": ({"lr": 0.01}, {"exact_val_loss": 1.25, "val_loss": 3.0}),
    }
    files = [len([*result.run.glob("events.*")]) for result in results]
    assert files == [2, 2, 1]


def test_the_curves_of_a_run_stay_as_they_are(results):
    before = [read_curves(result.run) for result in results]
    write_hparams(results, "val_loss")
    assert [read_curves(result.run) for result in results] == before


def test_a_file_that_was_cut_off_is_written_again(results, tmp_path):
    write = "transformer.sweep.hparams.RecordWriter.write"
    with patch(write, side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        write_hparams(results, "val_loss")
    write_hparams(results, "val_loss")
    _, found = sessions(tmp_path)
    assert [metrics["exact_val_loss"] for _, metrics in found.values()] == [1.25, 2.5]
