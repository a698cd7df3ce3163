"""A run starts from a model: its architecture and tokenizer, a new text, and what it forgets."""

import json

import numpy as np
import pytest
import yaml

import evaluate
import generate
import train
from transformer.data.order import EndlessOrder
from transformer.run.comparison import curves
from transformer.storage.model_file import load_model
from transformer.system.errors import UserError

NEW = "Ärger über Öl: 漢字 and 🙂.\nNo more of that, to be sure; the letter ends here.\n" * 40


@pytest.fixture
def old(finished, short_runs, tmp_path):
    """A run whose text is here, under the same name."""
    (tmp_path / "new.txt").write_text(NEW, encoding="utf-8")
    return finished.folder


@pytest.fixture
def start(call, old, tmp_path):
    def run(*flags, steps=6):
        limits = ("--max_steps", steps, "--val_every_steps", 3)
        call(train, "--start_from", old, "--data_path", "new.txt", *limits, *flags)
        return max((tmp_path / "runs").glob("from-tiny/version_*"))

    return run


def test_a_new_text_with_new_characters_grows_the_vocabulary_and_nothing_is_lost(
    call, start, old, caplog
):
    caplog.set_level("INFO")
    folder = start()
    before, after = (load_model(run / "model.safetensors") for run in (old, folder))
    symbols = before.tokenizer.vocabulary
    assert after.tokenizer.vocabulary.startswith(symbols)
    assert set(after.tokenizer.vocabulary) == set(symbols + NEW)
    config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    kept = ("embedding_dim", "num_heads", "num_blocks", "block_size", "positions", "batch_size")
    assert {key: config[key] for key in kept} == {key: before.config[key] for key in kept}
    assert config["max_minutes"] is None
    (first, loss), *_, (last, _) = curves(folder, ["old_val_loss"])["old_val_loss"]
    exact = json.loads((old / "summary.json").read_text(encoding="utf-8"))["val_loss"]
    assert (first, last) == (0, 6)
    assert loss == pytest.approx(exact, abs=1e-6)
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert "old_val_loss" in summary
    number = len(set(NEW) - set(symbols))
    assert any(f"its vocabulary grows by {number} characters" in line for line in caplog.messages)
    assert call(generate, folder, "--prompt", "漢字", "--max_new_tokens", 3).startswith("漢字")
    report = json.loads(call(evaluate, folder, "--json"))
    assert report["scores"]["model"]["loss"] == pytest.approx(summary["val_loss"], rel=1e-6)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--embedding_dim", "24"], "--embedding_dim: embedding_dim is 24, but .* has 22: leave"),
        (["--positions", "rotary"], "positions is rotary, but the model of start_from has learned"),
        (
            ["--tokenizer", "bytes"],
            "tokenizer is bytes, but the model of start_from has characters",
        ),
        (
            ["--vocab_size", "400"],
            "vocab_size is 400, but .* has none: its tokens are characters",
        ),
        (["--model", "encoder_decoder"], "model is encoder_decoder, but .* has gpt"),
        (["--resume"], "--start_from does not go with --resume"),
        (["--plan"], "--plan is for a new model: leave out --start_from"),
        (["--old_data_path", "none.txt"], "none.txt: no such"),
    ],
    ids=str,
)
def test_what_contradicts_the_model_is_named_with_both_values(start, flags, message):
    with pytest.raises(UserError, match=message):
        start(*flags)


def test_a_config_file_may_name_the_model_or_none(call, old, tmp_path):
    text = (tmp_path / "tiny.yaml").read_text(encoding="utf-8").replace("hamlet.txt", "new.txt")
    for name in ("none", str(old)):
        (tmp_path / "own.yaml").write_text(f"{text}start_from: {name}\n", encoding="utf-8")
        config = yaml.safe_load(call(train, "--config", "own.yaml", "--print_config"))
        assert config["start_from"] == (None if name == "none" else name)
        assert config["run_name"] == "own"


def test_texts_in_token_files_are_not_replayed(start):
    flags = ("--replay_fraction", 0.2, "--token_files_from_mb", 0)
    with pytest.raises(UserError, match="give a larger --token_files_from_mb"):
        start(*flags)


@pytest.mark.slow
def test_a_config_file_that_fits_may_be_given(start):
    folder = start("--config", "tiny.yaml", "--run_name", "from-tiny", "--lr", 1e-4)
    assert "lr: 0.0001" in (folder / "config.yaml").read_text(encoding="utf-8")


def test_a_config_file_that_contradicts_the_model_is_named_with_its_line(start, tmp_path):
    text = (tmp_path / "tiny.yaml").read_text(encoding="utf-8")
    (tmp_path / "own.yaml").write_text(text.replace("num_blocks: 1", "num_blocks: 3"))
    with pytest.raises(UserError, match=r"own.yaml:8: num_blocks is 3, but .* has 1: leave out"):
        start("--config", "own.yaml")


@pytest.mark.slow
@pytest.mark.parametrize("block_size", [8, 24])
def test_the_context_may_be_shorter_or_longer(start, block_size):
    folder = start("--block_size", block_size)
    assert load_model(folder / "model.safetensors").model.block_size == block_size


@pytest.mark.parametrize("path", ["runs/none", "new.txt"])
def test_a_model_that_is_not_there_is_one_clear_error(call, old, path):
    with pytest.raises(UserError, match=path):
        call(train, "--start_from", path, "--data_path", "new.txt")


@pytest.mark.slow
def test_a_model_of_pairs_is_refused(call, tmp_path, short_runs):
    pairs = "".join(f"{word}\t{word[::-1]}\n" for word in {NEW[n : n + 3] for n in range(99)})
    (tmp_path / "own.tsv").write_text(pairs.replace("\n\t", "\t"), encoding="utf-8")
    text = (tmp_path / "tiny.yaml").read_text(encoding="utf-8").replace('sample_prompt: "To "', "")
    (tmp_path / "tiny.yaml").write_text(text, encoding="utf-8")
    flags = ("--model", "encoder_decoder", "--data_path", "own.tsv", "--skip_bad_lines", "true")
    call(train, "--config", "tiny.yaml", *flags, "--max_steps", 2)
    with pytest.raises(UserError, match="starts from a gpt, and this is a encoder_decoder"):
        call(train, "--start_from", "runs/tiny", "--data_path", "hamlet.txt")


def test_without_the_old_text_a_run_says_so_and_goes_on(start, tmp_path, caplog):
    caplog.set_level("INFO")
    (tmp_path / "hamlet.txt").write_text("To be, or not to be.\n" * 50, encoding="utf-8")
    folder = start()
    assert "old_val_loss" not in (folder / "summary.json").read_text(encoding="utf-8")
    assert any("no old_val_loss: hamlet.txt: is not the text" in line for line in caplog.messages)
    with pytest.raises(UserError, match=r"hamlet.txt: is not the text .* --old_data_path"):
        start("--replay_fraction", 0.2)


@pytest.mark.slow
def test_the_old_text_may_be_given(start, tmp_path):
    (tmp_path / "moved.txt").write_bytes((tmp_path / "hamlet.txt").read_bytes())
    (tmp_path / "hamlet.txt").unlink()
    folder = start("--old_data_path", "moved.txt")
    assert curves(folder, ["old_val_loss"])["old_val_loss"]


def test_on_its_own_text_there_is_no_old_one(call, old):
    with pytest.raises(UserError, match="replay_fraction needs the text"):
        call(
            train, "--start_from", old, "--data_path", "hamlet.txt", "--replay_fraction", 0.5
        )  # fmt: skip


def test_old_chunks_have_exactly_their_share_and_come_from_the_old_training_split(start):
    from transformer.config.files import load_config
    from transformer.run.fit import read_data
    from transformer.tasks.text_run import TextRun

    folder = start("--replay_fraction", 0.3)
    config = load_config(folder / "config.yaml", same_text=True)
    data = TextRun(config, read_data(config, folder / "checkpoints/last.ckpt"), 0).data
    corpus = data.corpus
    own, old = (part.num_tokens for part in corpus.mix)
    assert old == len(corpus.train) - own
    starts = data.order.positions(0, 1000)
    is_old = starts >= own
    for number in (10, 77, 1000):
        assert abs(is_old[:number].sum() - 0.3 * number) < 1
    wanted = EndlessOrder(old - 16, config.seed + 1).positions(0, 300) + own
    assert np.array_equal(starts[is_old], wanted)
    assert corpus.tokenizer.decode(corpus.val) == NEW[-len(corpus.val) :]


@pytest.mark.slow
@pytest.mark.parametrize("flags", [(), ("--replay_fraction", "0.25")], ids=str)
def test_a_run_that_starts_from_a_model_resumes_bit_for_bit(call, old, flags, caplog):
    caplog.set_level("INFO")
    call(train, "--start_from", old, "--data_path", "new.txt", "--verify_resume", *flags)
    assert any("give bit-identical weights" in line for line in caplog.messages)
