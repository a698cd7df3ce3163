"""What a run has logged comes back by name, in the order in which it was asked for."""

import pytest
from torch.utils.tensorboard import SummaryWriter

from transformer.storage.events import EVENTS, read_events, read_scalars

STARTED_AT = 1_000_000_000.0


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Of a run that was resumed after step 20, of which step 30 was logged already."""
    for start, (steps, purge_step) in enumerate((((10, 20, 30), None), ((30, 40), 21))):
        now = STARTED_AT + 1000 * start
        monkeypatch.setattr("time.time", lambda now=now: now)
        with SummaryWriter(tmp_path, purge_step=purge_step) as writer:
            for step in steps:
                writer.add_scalar("loss", step / 4 + start, step, walltime=now + step)
            writer.add_text("sample", "To be", 20)
    return tmp_path


def test_a_folders_points_are_those_that_a_resumed_run_has_kept(folder):
    found = read_scalars(folder, ["loss", "never_logged"])
    assert found == {
        "loss": [(10, 10, 2.5), (20, 20, 5), (30, 1030, 8.5), (40, 1040, 11)],
    }


def test_a_file_is_read_alone_and_its_seconds_are_its_own(folder):
    last = sorted(folder.glob(EVENTS))[-1]
    assert read_scalars(last, ["loss"]) == {"loss": [(30, 30, 8.5), (40, 40, 11)]}


def test_names_come_in_the_order_that_was_asked_for(tmp_path):
    with SummaryWriter(tmp_path) as writer:
        for name in "abc":
            writer.add_scalar(name, 1.0, 1)
    assert list(read_scalars(tmp_path, "cab")) == list("cab")
    assert read_scalars(tmp_path, []) == {}


def test_texts_and_pictures_are_read_too(folder):
    assert [event.step for event in read_events(folder).Tensors("sample/text_summary")] == [20, 20]
