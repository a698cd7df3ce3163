"""Fills TensorBoard's HParams tab: the exact loss of each run, beside the keys of its config.

A run's own events hold its keys. TensorBoard compares the keys of all runs in a folder, and puts
those that differ first. No torch.
"""

from collections.abc import Sequence
from typing import Any

from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from transformer.sweep.trial import Result

# Their classes are made at run time, where no type checker sees them.
_event: Any = event_pb2
_summary: Any = summary_pb2
_api: Any = api_pb2
_plugin: Any = plugin_data_pb2

EXACT = "exact_"  # before the metric's name: a run's curve of that name is of a part of the text
_SUFFIX = ".sweep"


def write_hparams(results: Sequence[Result], metric: str) -> None:
    """Adds a file of events to the folder of each run that has a loss, once."""
    for result in results:
        folder = result.run
        if folder is None or result.loss is None or any(folder.glob(f"*{_SUFFIX}")):
            continue
        loss = _summary.Summary.Value(tag=f"{EXACT}{metric}", simple_value=result.loss)
        summary = _summary.Summary(value=[_success(), loss])
        writer = EventFileWriter(str(folder), filename_suffix=_SUFFIX)
        writer.add_event(_event.Event(step=result.summary.get("step", 0), summary=summary))
        writer.close()


def _success() -> Any:
    end = _plugin.SessionEndInfo(status=_api.STATUS_SUCCESS)
    about = metadata.create_summary_metadata(_plugin.HParamsPluginData(session_end_info=end))
    return _summary.Summary.Value(tag=metadata.SESSION_END_INFO_TAG, metadata=about)
