"""metrics.csv has one row for each step, whatever happens between two lines."""

import csv
import errno
import io
from pathlib import Path
from unittest.mock import patch

import pytest

from transformer.training.extra_loggers import RunCsv
from transformer.training.metrics_file import MetricsFile


@pytest.fixture
def path(tmp_path):
    return tmp_path / "metrics.csv"


def rows(path):
    """What a spreadsheet reads: the values that are there, by column."""
    text = path.read_text(encoding="utf-8")
    return [
        {name: float(value) for name, value in row.items() if value}
        for row in csv.DictReader(io.StringIO(text))
    ]


def log(file, *logged):
    """Saves after each row, as a run that validates often."""
    for step, metrics in logged:
        file.log_metrics(metrics, step)
        file.save()


LOGGED = ((1, {"loss": 3.0}), (1, {"val": 2.5}), (2, {"loss": 2.0}), (2, {"val": 1.5, "lr": 0.1}))
ROWS = [{"step": 1, "loss": 3.0, "val": 2.5}, {"step": 2, "loss": 2.0, "val": 1.5, "lr": 0.1}]


def test_all_that_is_logged_at_a_step_stands_in_its_row_however_often_it_is_saved(path):
    log(MetricsFile(path, 0), *LOGGED)
    assert rows(path) == ROWS
    assert path.read_text(encoding="utf-8").startswith("step,loss,lr,val\n")
    path.unlink()
    file = MetricsFile(path, 0)
    for step, metrics in LOGGED:
        file.log_metrics(metrics, step)
    assert not path.exists()
    file.save()
    assert rows(path) == ROWS


def test_only_the_last_row_is_written_again(path):
    file = MetricsFile(path, 0)
    log(file, *((step, {"loss": 1.0, "val": 2.0}) for step in range(99)))
    inode = path.stat().st_ino
    log(file, (99, {"loss": 1.25}), (99, {"val": 2.75}), (100, {"val": 3.0}))
    assert path.stat().st_ino == inode
    assert len(rows(path)) == 101
    assert rows(path)[-2:] == [{"step": 99, "loss": 1.25, "val": 2.75}, {"step": 100, "val": 3.0}]


@pytest.mark.parametrize("end", ["", "2,1", "2,1.5,", "3,0.5,0.5\n1", "99,1,1\n"])
def test_a_resumed_run_keeps_whole_rows_up_to_its_step_and_goes_on_in_the_last(path, end):
    path.write_text(f"step,loss,val\n1,3.0,2.5\n{end}", encoding="utf-8")
    file = MetricsFile(path, 2)
    assert rows(path) == ROWS[:1]
    log(file, (1, {"lr": 0.5}), *LOGGED[2:])
    assert rows(path) == [ROWS[0] | {"lr": 0.5}, ROWS[1]]


def test_no_row_after_the_step_is_kept_where_none_is_before_it(path):
    path.write_text("step,loss\n5,3.0\n10,2.0\n", encoding="utf-8")
    log(MetricsFile(path, 2), (7, {"loss": 2.5}))
    assert rows(path) == [{"step": 7, "loss": 2.5}]


def test_rows_of_an_older_version_are_joined(path):
    path.write_text("loss,step,val\n3.0,1,\n,1,2.5\n2.0,2,\n", encoding="utf-8")
    log(MetricsFile(path, 2), (2, {"val": 1.5, "lr": 0.1}))
    assert rows(path) == ROWS


@pytest.mark.parametrize("number", range(1, len(LOGGED)))
def test_a_full_disk_costs_nothing_that_can_be_written_later(path, number):
    """A new column is written as a new file, another row into the old one, of which a part fits."""
    file = MetricsFile(path, 0)
    log(file, *LOGGED[:number])

    full = OSError(errno.ENOSPC, "No space left on device")

    def fill(self):
        with open(path, "ab") as torn:
            torn.write(b"7,")
        raise full

    with (
        patch("transformer.training.metrics_file.replacing", side_effect=full),
        patch.object(MetricsFile, "_write_end", fill),
        pytest.raises(OSError, match="No space left"),
    ):
        log(file, LOGGED[number])
    log(file, *LOGGED[number + 1 :])
    file.save()
    assert rows(path) == ROWS


def test_a_file_that_somebody_else_has_written_or_removed_is_made_whole_again(path):
    file = MetricsFile(path, 0)
    log(file, *LOGGED[:3])
    path.write_text("note,step,val\nmine,1,2.5\n", encoding="utf-8")
    log(file, LOGGED[3])
    with open(path, encoding="utf-8") as opened:
        assert [row["note"] for row in csv.DictReader(opened)] == ["mine", ""]
    path.unlink()
    log(file, (3, {"loss": 1.0}))
    assert [row["step"] for row in rows(path)] == [2, 3]


def test_a_disk_that_stays_full_is_one_warning(tmp_path, caplog):
    logger = RunCsv(tmp_path, 0)
    full = OSError(errno.ENOSPC, "No space left on device")
    with patch("transformer.training.metrics_file.replacing", side_effect=full):
        for step, metrics in LOGGED:
            logger.log_metrics(metrics, step)
            logger.save()
    (record,) = caplog.records
    assert "metrics.csv cannot be written (No space left on device)" in record.message
    logger.finalize("success")
    assert rows(Path(tmp_path, "metrics.csv")) == ROWS
