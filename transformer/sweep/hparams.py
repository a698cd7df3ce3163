"""Fills TensorBoard's HParams tab: the exact loss of each run, beside the keys of its config.

A run's own events hold its keys. TensorBoard compares the keys of all runs in a folder, and puts
those that differ first. No torch.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2
from tensorboard.summary.writer.record_writer import RecordWriter

from transformer.sweep.trial import Result
from transformer.system.files import replacing

# Their classes are made at run time, where no type checker sees them.
_event: Any = event_pb2
_summary: Any = summary_pb2
_api: Any = api_pb2
_plugin: Any = plugin_data_pb2

EXACT = "exact_"  # before the metric's name: a run's curve of that name is of a part of the text
_SUFFIX = ".sweep"
_VERSION = "brain.Event:2"  # of TensorBoard's files, said by the first event of each


def write_hparams(results: Sequence[Result], metric: str) -> None:
    """Adds a file of events to the folder of each run that has a loss, once."""
    for result in results:
        folder = result.run
        if folder is None or result.loss is None or any(folder.glob(f"*{_SUFFIX}")):
            continue
        loss = _summary.Summary.Value(tag=f"{EXACT}{metric}", simple_value=result.loss)
        summary = _summary.Summary(value=[_success(), loss])
        _write_events(folder, result.summary.get("step", 0), summary)


def _write_events(folder: Path, step: int, summary: Any) -> None:
    """Whole or not at all: a file that is there is never written again."""
    now = time.time()
    first = _event.Event(wall_time=now, file_version=_VERSION)
    event = _event.Event(wall_time=now, step=step, summary=summary)
    path = folder / f"events.out.tfevents.{int(now):010d}{_SUFFIX}"
    with replacing(path) as temporary, open(temporary, "wb") as file:
        writer = RecordWriter(file)
        for each in (first, event):
            writer.write(each.SerializeToString())


def _success() -> Any:
    end = _plugin.SessionEndInfo(status=_api.STATUS_SUCCESS)
    about = metadata.create_summary_metadata(_plugin.HParamsPluginData(session_end_info=end))
    return _summary.Summary.Value(tag=metadata.SESSION_END_INFO_TAG, metadata=about)
