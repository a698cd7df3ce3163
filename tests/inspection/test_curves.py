"""The curves of a run from its events, over resumes, and the bigram floor of its corpus."""

import numpy as np
import pytest
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from transformer.data.text.corpus import Corpus
from transformer.evaluation.text import score_bigram
from transformer.inspection.curves import TrainedOn, bigram_floor, read_trained_on
from transformer.models.bigram import Bigram
from transformer.storage.curves import read_curves
from transformer.storage.model_file import save_model
from transformer.storage.run_folder import WEIGHTS
from transformer.system.errors import UserError

NAME = "events.out.tfevents.{}.host.1.0"


def write_events(run, started_at, scalars):
    """A file as one start of a run leaves it; scalars are (name, step, seconds after, value)."""
    run.mkdir(exist_ok=True)
    events = [Event(wall_time=started_at, file_version="brain.Event:2")]
    for name, step, seconds, value in scalars:
        summary = Summary(value=[Summary.Value(tag=name, simple_value=value)])
        events.append(Event(wall_time=started_at + seconds, step=step, summary=summary))
    path = run / NAME.format(started_at)
    with path.open("wb") as file:
        writer = RecordWriter(file)
        for event in events:
            writer.write(event.SerializeToString())
    return path


def test_curves_have_step_seconds_since_the_first_event_and_value(tmp_path):
    scalars = [("train_loss", 10, 2, 3.5), ("lr", 10, 2, 1), ("val_loss", 10, 3, 4.25)]
    scalars += [("train_loss", 20, 7, 2.5)]
    write_events(tmp_path, 1000, scalars)
    assert read_curves(tmp_path) == {
        "train_loss": [(10, 2, 3.5), (20, 7, 2.5)],
        "val_loss": [(10, 3, 4.25)],
    }


def test_no_point_is_left_out_of_a_long_curve(tmp_path):
    """TensorBoard itself keeps a sample of ten thousand."""
    write_events(tmp_path, 1000, [("train_loss", n, n, 1) for n in range(1, 10_102)])
    assert len(read_curves(tmp_path)["train_loss"]) == 10_101


def test_a_resumed_run_goes_on_without_the_time_in_between(tmp_path):
    write_events(tmp_path, 1000, [("train_loss", 10, 2, 4), ("val_loss", 10, 3, 4)])
    write_events(tmp_path, 9000, [("train_loss", 20, 5, 3), ("val_loss", 20, 6, 3)])
    assert read_curves(tmp_path) == {
        "train_loss": [(10, 2, 4), (20, 8, 3)],
        "val_loss": [(10, 3, 4), (20, 9, 3)],
    }


def test_of_steps_that_were_made_twice_the_later_count(tmp_path):
    """A run that crashed after step 30 and went on from its checkpoint at step 10."""
    first = [("train_loss", step, step, 4) for step in (10, 20, 30)]
    write_events(tmp_path, 1000, [*first, ("val_word_error_rate", 10, 11, 1)])
    write_events(tmp_path, 9000, [("train_loss", 20, 5, 3), ("val_loss", 20, 6, 3)])
    assert read_curves(tmp_path) == {
        "train_loss": [(10, 10, 4), (20, 16, 3)],
        "val_loss": [(20, 17, 3)],
        "val_word_error_rate": [(10, 11, 1)],
    }


def test_a_start_that_logged_nothing_changes_nothing(tmp_path):
    write_events(tmp_path, 1000, [("train_loss", 10, 2, 4)])
    write_events(tmp_path, 9000, [("lr", 20, 2, 4)])
    assert read_curves(tmp_path) == {"train_loss": [(10, 2, 4)]}


def test_events_are_read_as_far_as_they_are_whole(tmp_path):
    """As of a run that is still writing, or that was killed while it did."""
    path = write_events(tmp_path, 1000, [("train_loss", 10, 2, 4), ("train_loss", 20, 3, 3)])
    path.write_bytes(path.read_bytes()[:-5])
    assert read_curves(tmp_path) == {"train_loss": [(10, 2, 4)]}


@pytest.mark.parametrize("content", [None, b"", b"no events\n" * 20])
def test_a_folder_without_curves_is_an_error_that_names_it(tmp_path, content):
    if content is not None:
        (tmp_path / NAME.format(1000)).write_bytes(content)
    with pytest.raises(UserError, match=rf"^{tmp_path}: has no curves .* give the folder of a"):
        read_curves(tmp_path)


@pytest.fixture
def corpus_path(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("".join("abcde"[n**3 % 5] for n in range(211)) + "e", encoding="utf-8")
    return path


def save_run(run, corpus_path, **changes):
    parts = {
        "config": {"data_path": str(corpus_path), "val_fraction": 0.3},
        "corpus": {"sha256": Corpus.from_file(corpus_path).sha256},
    }
    save_model(run / WEIGHTS, Bigram(vocab_size=3, block_size=5), parts | changes)


def test_the_floor_is_the_bigrams_score_on_the_runs_own_split(tmp_path, corpus_path):
    save_run(tmp_path, corpus_path)
    trained_on = read_trained_on(tmp_path)
    corpus = Corpus.from_file(corpus_path)
    assert trained_on == TrainedOn(str(corpus_path), corpus.sha256, 0.3)
    train, val = np.split(corpus.tokens, [int(0.7 * 212)])
    assert bigram_floor(trained_on) == score_bigram(train, val, corpus.tokenizer)


def test_a_corpus_that_is_gone_or_has_changed_sets_no_floor(tmp_path, corpus_path):
    save_run(tmp_path, corpus_path)
    trained_on = read_trained_on(tmp_path)
    corpus_path.write_text("abc" * 100, encoding="utf-8")
    with pytest.raises(UserError, match=r"text\.txt: is not the text that the run was trained on"):
        bigram_floor(trained_on)
    corpus_path.unlink()
    with pytest.raises(UserError, match=r"text\.txt: is missing: start from the folder"):
        bigram_floor(trained_on)


def test_weights_that_do_not_say_what_they_were_trained_on_are_an_error(tmp_path, corpus_path):
    match = r"model\.safetensors: is missing or does not name its training data"
    with pytest.raises(UserError, match=match):
        read_trained_on(tmp_path)
    save_run(tmp_path, corpus_path, corpus={})
    with pytest.raises(UserError, match=match):
        read_trained_on(tmp_path)
    (tmp_path / WEIGHTS).write_bytes(b"x" * 100)
    with pytest.raises(UserError, match=match):
        read_trained_on(tmp_path)
