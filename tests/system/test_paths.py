"""`~` and `$NAME` in paths mean what they mean in a shell, wherever a path is given."""

from pathlib import Path

import pytest

import evaluate
import explain
import plot
import train
from transformer.config.files import load_config
from transformer.config.flags import check_flags
from transformer.data.text.corpus import Corpus
from transformer.generation.options import GenerateOptions
from transformer.system.errors import UserError
from transformer.system.paths import expanded


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.setenv("DATA", "/data")
    monkeypatch.delenv("UNSET", raising=False)
    monkeypatch.chdir(tmp_path)
    return str(tmp_path / "home")


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("~/runs", "{home}/runs"),
        ("~", "{home}"),
        ("$DATA/a.txt", "/data/a.txt"),
        ("${DATA}1/a.txt", "/data1/a.txt"),
        ("~/$DATA", "{home}//data"),
        ("a~/b", "a~/b"),
        ("./~/b", "./~/b"),
        ("cost $5 $", "cost $5 $"),
        ("a/b", "a/b"),
    ],
)
def test_a_path_means_what_it_means_in_a_shell(home, path, meant):
    assert expanded(path) == meant.format(home=home)


def test_a_file_that_has_the_very_name_is_meant(tmp_path):
    (tmp_path / "cost $DATA $UNSET").touch()
    (tmp_path / "~backup.txt").touch()
    for name in ("cost $DATA $UNSET", "~backup.txt"):
        assert expanded(name) == name
    assert expanded(path := Path("~")) == path  # as by all of Python


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("$UNSET/a.txt", r"\$UNSET/a\.txt: the variable UNSET is not set: set it, or"),
        ("${UNSET}", "the variable UNSET is not set"),
        ("~nobody_here/a", r"no home folder is known for ~nobody_here: .* \./~nobody_here/a"),
    ],
)
def test_what_stands_for_nothing_is_refused(path, words):
    with pytest.raises(UserError, match=words):
        expanded(path)


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        *((evaluate.EvaluateOptions, key) for key in ("data_path", "runs_dir")),
        *((plot.PlotOptions, key) for key in ("out", "runs_dir")),
        *((GenerateOptions, key) for key in ("prompt_file", "cache_dir", "runs_dir")),
        (explain.ExplainOptions, "out"),
    ],
)
def test_every_flag_of_a_path_is_expanded(home, kind, key):
    flags = {key: "~/x.png"} | ({"prompt": "a"} if kind is explain.ExplainOptions else {})
    assert getattr(check_flags(kind, flags), key) == f"{home}/x.png"
    with pytest.raises(UserError, match="the variable UNSET is not set"):
        check_flags(kind, flags | {key: "$UNSET.png"})


CONFIG = Path(__file__).parents[2] / "configs" / "nine-keys.yaml"


def test_paths_in_a_config_are_expanded_in_the_file_behind_flags_and_in_python(home, tmp_path):
    text = CONFIG.read_text(encoding="utf-8").replace("./data/input.txt", "~/a.txt")
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "mine.yaml").write_text(f"{text}\nruns_dir: $DATA/runs\n", encoding="utf-8")
    config = load_config("~/mine.yaml")
    assert (config.data_path, config.runs_dir) == (f"{home}/a.txt", "/data/runs")
    arguments = train.parse_arguments(["--config", "~/mine.yaml", "--runs_dir", "~/runs"])
    assert arguments.config.runs_dir == f"{home}/runs"
    assert config.model_validate(config.resolved()) == config
    (folder / "a.txt").write_text("abc", encoding="utf-8")
    assert Corpus.from_file(config.data_path, build=False).tokenizer.vocab_size == 3


@pytest.mark.parametrize("flag", ["--config", "--resume", "--data_path", "--runs_dir"])
def test_an_unset_variable_behind_a_flag_of_train_is_one_line(flag):
    with pytest.raises(UserError, match="the variable UNSET is not set"):
        train.parse_arguments([flag, "$UNSET/a"])


@pytest.mark.parametrize("script", [evaluate, explain, plot])
def test_a_run_or_a_checkpoint_in_the_home_folder_is_found(script, home):
    flags = ["--prompt", "a"] if script is explain else []
    with pytest.raises(UserError, match=f"^{home}/none"):
        script.main(["~/none", *flags])
