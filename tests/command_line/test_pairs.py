"""An encoder-decoder from a file of pairs to its translations, as a user goes."""

import json
import random

import pytest

import evaluate
import generate
import plot
import train
from transformer.config.files import load_config
from transformer.data.pairs.reading import read_pairs
from transformer.data.pairs.settings import PairSettings
from transformer.run.comparison import differences
from transformer.run.verification import InterruptAfter
from transformer.storage.events import read_events
from transformer.storage.run_folder import LAST
from transformer.system.errors import UserError

UNITS = {"source_units": "characters", "target_units": "words"}

# 40 steps are enough for a loss well below that of guessing, and a second long.
TINY_PAIRS = """\
model: encoder_decoder
batch_size: 16
epochs: 20
lr: 1e-2
data_path: shout.tsv
block_size: 7
num_heads: 2
embedding_dim: 22
num_blocks: 1
num_workers: 0
positions: sinusoidal
target_units: words
accelerator: cpu
precision: float32
max_steps: 40
val_every_steps: 20
"""


def shouted(word: str) -> str:
    """Each letter as a word of its own, vowels with a mark of stress: `cab` -> `C AH1 B`."""
    return " ".join(f"{c.upper()}H1" if c in "aei" else c.upper() for c in word)


@pytest.fixture(scope="session")
def words() -> list[str]:
    draw = random.Random(0)
    return sorted({"".join(draw.choices("abcdei", k=draw.randint(2, 6))) for _ in range(400)})


@pytest.fixture(scope="session")
def pairs_home(tmp_path_factory, words):
    home = tmp_path_factory.mktemp("pairs")
    lines = [f"{word}\t{shouted(word)}\n" for word in words]
    (home / "shout.tsv").write_text("".join(lines), encoding="utf-8")
    (home / "shout.yaml").write_text(TINY_PAIRS, encoding="utf-8")
    return home


@pytest.fixture(scope="session")
def pairs_run(pairs_home):
    """Trained once for all tests, which leave it as it is."""
    import torch

    torch.set_num_threads(1)
    changes = {
        "data_path": str(pairs_home / "shout.tsv"),
        "runs_dir": str(pairs_home / "runs"),
        "run_name": "shout",
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PL_GLOBAL_SEED", "0")
        return train.train(load_config(pairs_home / "shout.yaml", changes))


@pytest.fixture
def weights(pairs_run):
    return str(pairs_run / "model.safetensors")


def test_summary_has_the_loss_and_the_error_rates_of_the_validation_split(pairs_run):
    summary = json.loads((pairs_run / "summary.json").read_text(encoding="utf-8"))
    assert summary["step"] == 40
    assert summary["val_loss"] < 2  # ln 9 = 2.2 at the start
    assert 0 < summary["val_unit_error_rate"] < 1  # two thirds of what is written at random
    assert 0 < summary["val_word_error_rate"] <= 1
    assert "val_bits_per_char" not in summary  # its units are no characters


@pytest.mark.slow
def test_a_run_that_was_resumed_is_the_same_as_one_that_was_not(
    pairs_home, pairs_run, not_drawn, monkeypatch
):
    changes = {"runs_dir": str(pairs_home / "runs"), "data_path": str(pairs_home / "shout.tsv")}
    for name, function in not_drawn.items():
        monkeypatch.setattr(name, function)
    monkeypatch.setenv("PL_GLOBAL_SEED", "0")
    config = load_config(pairs_home / "shout.yaml", changes | {"run_name": "halves"})
    with pytest.raises(SystemExit):
        train.train(config, callbacks=[InterruptAfter(20)])
    folder = pairs_home / "runs" / "halves" / "version_0"
    train.train(load_config(folder / "config.yaml"), folder / LAST)
    assert differences(pairs_run, folder) == []


def test_tensorboard_has_error_rates_translations_and_an_attention_picture(pairs_run):
    events = read_events(pairs_run)
    assert [event.step for event in events.Scalars("val_word_error_rate")] == [20, 40]
    assert [event.step for event in events.Images("cross_attention")] == [20, 40]
    assert " -> " in events.Tensors("sample/text_summary")[0].tensor_proto.string_val[0].decode()


def test_a_prompt_is_answered_by_the_target_alone(weights, capsys):
    assert generate.main([weights, "--prompt", "bad", "--device", "cpu"]) == 0
    printed = capsys.readouterr().out
    assert printed.endswith("\n")
    assert set(printed.split()) <= {"AH1", "B", "C", "D", "EH1", "IH1"}


def test_lines_of_a_file_become_lines_of_source_and_target(weights, tmp_path, capsys):
    (tmp_path / "words.txt").write_text("bad\ncab\n", encoding="utf-8")
    flags = ["--prompt_file", str(tmp_path / "words.txt"), "--split_lines", "--device", "cpu"]
    generate.main([weights, *flags])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("\t")[0] for line in lines] == ["bad", "cab"]
    generate.main([weights, "--prompt", "bad", "--device", "cpu"])
    assert capsys.readouterr().out == lines[0].split("\t")[1] + "\n"


def test_json_has_the_best_of_a_beam_in_order(weights, capsys):
    flags = ["--prompt", "bad", "--num_beams", "4", "--num_samples", "3", "--json"]
    generate.main([weights, *flags, "--device", "cpu"])
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(found) == 3
    assert len({result["text"] for result in found}) == 3
    scores = [result["score"] for result in found if result["finished"]]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--prompt", "bax"], r"'bax': the model never saw 'x' \(LATIN SMALL LETTER X\)"),
        (["--prompt", "abcdeabc"], "8 characters, but the model reads at most 7"),
        ([], "an encoder-decoder needs a source: give a --prompt"),
        (["--prompt", "bad", "--top_k", "3"], "--top_k does not apply to a model of pairs"),
        (["--prompt", "bad", "--num_samples", "2"], "needs at least as many --num_beams, got 1"),
    ],
)
def test_prompt_that_cannot_be_translated_is_an_error_that_names_it(weights, flags, message):
    with pytest.raises(UserError, match=message):
        generate.main([weights, *flags, "--device", "cpu"])


def test_evaluation_is_of_the_test_split_with_and_without_stress(weights, words, capsys):
    evaluate.main([weights, "--json", "--device", "cpu"])
    report = json.loads(capsys.readouterr().out)
    assert report["split"] == "test"
    assert 0 < report["sources"] < len(words) / 4
    plain, bare = report["scores"]["as they are"], report["scores"]["without stress"]
    assert plain["num_words"] == report["sources"]
    assert bare["word_error_rate"] <= plain["word_error_rate"]
    low, high = plain["word_error_interval"]
    assert low <= plain["word_error_rate"] <= high
    evaluate.main([weights, "--device", "cpu", "--num_beams", "2"])
    table = capsys.readouterr().out
    assert "phoneme error rate" in table
    assert "2 beams" in table


def test_evaluation_of_another_file_takes_all_of_it_and_any_answer(weights, tmp_path, capsys):
    generate.main([weights, "--prompt", "bad", "--device", "cpu"])
    answer = capsys.readouterr().out.strip() or "B"
    lines = f"bad\tB\nbad\t{answer}\nbad\tC C\n"
    (tmp_path / "other.tsv").write_text(lines, encoding="utf-8")
    evaluate.main([weights, "--data_path", str(tmp_path / "other.tsv"), "--json"])
    report = json.loads(capsys.readouterr().out)
    assert (report["split"], report["sources"]) == ("whole file", 1)
    assert report["scores"]["as they are"]["word_error_rate"] == 0


def test_pairs_that_changed_are_not_taken_for_the_models_own(
    weights, pairs_home, tmp_path, words, capsys, monkeypatch
):
    """With --data_path they are, and it is said how many the model may have been trained on."""
    from transformer.storage.model_file import load_model, save_model

    saved = load_model(weights)
    parts = {"architecture": saved.architecture, "tokenizer": saved.tokenizer.state}
    parts |= {"config": saved.config | {"data_path": "shout.tsv"}, "corpus": saved.corpus}
    save_model(tmp_path / "model.safetensors", saved.model, parts)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        UserError, match=r"^shout\.tsv: the training data of model\.safetensors is missing"
    ):
        evaluate.main(["model.safetensors"])
    text = (pairs_home / "shout.tsv").read_text(encoding="utf-8")
    (tmp_path / "shout.tsv").write_text(text + "bad\tB\n", encoding="utf-8")
    with pytest.raises(
        UserError, match=r"^shout\.tsv: is not the training data .* and 6 more follow: restore"
    ):
        evaluate.main(["model.safetensors"])

    def compared(*flags):
        evaluate.main(["model.safetensors", "--data_path", "shout.tsv", "--json", *flags])
        return json.loads(capsys.readouterr().out)["comparison"]

    few = ("--split", "test")
    assert "by their hash, 0 of these sources belong to the training split" in compared(*few)
    (tmp_path / "shout.tsv").write_text("bad\tB\ncab\tC\n", encoding="utf-8")
    pairs = read_pairs(tmp_path / "shout.tsv", PairSettings(block_size=7, **UNITS))
    num_trained = len(pairs.split(0.1, 0.1).train)
    assert f"{num_trained} of these sources belong" in compared()
    assert ("--split test leaves them out" in compared()) == (num_trained > 0)


def test_bad_lines_are_refused_with_their_numbers_or_left_out(pairs_home, tmp_path, run):
    good = (pairs_home / "shout.tsv").read_text(encoding="utf-8")
    bad = "no tab here\n\tX\nbad\t\nabcdefgh\tA B\n"
    (tmp_path / "shout.tsv").write_text(bad + good, encoding="utf-8")
    (tmp_path / "shout.yaml").write_text(TINY_PAIRS, encoding="utf-8")
    result = run("train.py", "--config", "shout.yaml", cwd=tmp_path)
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1
    for words in ("shout.tsv: 4 bad lines", "no tab in line 1", "line 4", "--skip_bad_lines"):
        assert words in result.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_the_whole_path_through_the_command_line(pairs_home, tmp_path, run):
    good = (pairs_home / "shout.tsv").read_text(encoding="utf-8")
    (tmp_path / "shout.tsv").write_text("no tab here\n" + good, encoding="utf-8")
    (tmp_path / "shout.yaml").write_text(TINY_PAIRS, encoding="utf-8")
    flags = ("--config", "shout.yaml", "--skip_bad_lines", "--max_steps", "20")
    trained = run("train.py", *flags, cwd=tmp_path, python=("-W", "error"))
    assert trained.returncode == 0, trained.stderr
    assert "1 bad lines left out" in trained.stdout
    resumed = run("train.py", "--resume", "--max_steps", "40", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    said = run("generate.py", "--prompt", "bad", cwd=tmp_path, python=("-W", "error"))
    assert said.returncode == 0, said.stderr
    assert said.stdout.strip()
    scored = run("evaluate.py", "--json", cwd=tmp_path, python=("-W", "error"))
    assert json.loads(scored.stdout)["bad_lines"] == 1


@pytest.mark.slow
def test_two_processes_make_one_run_of_pairs(pairs_home, tmp_path, run, same_logits):
    """The exact loss is of the whole validation split, not of the first process's share."""
    import torch

    from transformer.data.pairs.datamodule import PairDataModule
    from transformer.evaluation.loss import mean_loss
    from transformer.models.encoder_decoder import EncoderDecoder
    from transformer.storage.model_file import load_model

    (tmp_path / "shout.tsv").write_bytes((pairs_home / "shout.tsv").read_bytes())
    (tmp_path / "shout.yaml").write_text(TINY_PAIRS, encoding="utf-8")
    flags = "--config shout.yaml --devices 2 --strategy ddp --max_steps 6 --val_every_steps 3"
    result = run("train.py", *flags.split(), cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    folder = tmp_path / "runs" / "shout" / "version_0"
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert summary["step"] == 6
    data = PairDataModule(tmp_path / "shout.tsv", block_size=7, batch_size=16, target_units="words")
    model = load_model(folder / "model.safetensors").model
    assert isinstance(model, EncoderDecoder)
    loss = mean_loss(model, data.every_val_batch())[0]
    same_logits(torch.tensor(summary["val_loss"]), torch.tensor(loss), model)


def test_a_device_without_anything_to_validate_is_an_error(pairs_home):
    from transformer.run.assembly import check_shares

    config = load_config(pairs_home / "shout.yaml", {"devices": 2})
    check_shares(config, 2, 2)
    with pytest.raises(UserError, match="1 chunks or pairs for validation on 2 devices"):
        check_shares(config, 1, 2)


def test_the_curves_of_a_run_have_its_error_rates(pairs_run, tmp_path, capsys):
    assert plot.main([str(pairs_run), "--out", str(tmp_path / "curves.svg")]) == 0
    assert capsys.readouterr().err == ""  # pairs have no bigram floor, and that is no news
    assert "word error rate" in (tmp_path / "curves.svg").read_text(encoding="utf-8")
