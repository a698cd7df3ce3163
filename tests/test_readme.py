"""What the README says is executed or compared: commands, figures, tree, example."""

import json
import re
import shlex
import warnings
from pathlib import Path

import pytest

import evaluate
import explain
import generate
import plot
import train
from transformer.config.files import load_config
from transformer.models import build_model

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
RESULTS = ROOT / "benchmarks" / "results"
G2P = json.loads((RESULTS / "g2p.json").read_text(encoding="utf-8"))
RECIPES = json.loads((RESULTS / "recipes.json").read_text(encoding="utf-8"))["figures"]
SYMBOLS = 64  # of data/input.txt
# Folders whose files the tree sums up in one line.
SUMMED_UP = ("tests", "configs", "benchmarks", "data", "docs", "notebooks", "static")


def code_blocks(language: str = "") -> list[str]:
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return [text for name, text in blocks if name == language]


def commands(script: str) -> list[str]:
    lines = [line for block in code_blocks() for line in block.splitlines()]
    found = [line.split("#")[0].split("&&")[-1].strip() for line in lines]
    return [line for line in found if line.startswith(f"python {script}")]


@pytest.mark.parametrize("line", commands("train.py"))
def test_training_commands_are_accepted(line, tmp_path, monkeypatch):
    if "--resume" in line:
        run = tmp_path / "runs" / "default" / "version_0"
        (run / "checkpoints").mkdir(parents=True)
        (run / "checkpoints" / "last.ckpt").touch()
        (run / "config.yaml").write_text(
            (ROOT / "configs" / "default.yaml").read_text(encoding="utf-8"), encoding="utf-8"
        )
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    monkeypatch.chdir(tmp_path)
    assert train.parse_arguments(shlex.split(line)[2:]).config.batch_size > 0


@pytest.mark.parametrize(
    ("script", "module"),
    [
        ("generate.py", generate),
        ("evaluate.py", evaluate),
        ("explain.py", explain),
        ("plot.py", plot),
    ],
)
def test_other_commands_reach_the_search_for_a_run(script, module, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert commands(script)
    for line in commands(script):
        with pytest.raises(train.UserError, match=r"no run with a checkpoint|no such folder"):
            module.main(shlex.split(line)[2:])


def test_the_two_install_lines_stand_there_and_ci_runs_them():
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for line in (
        "pip install -r requirements.txt && python train.py",
        "pip install -r requirements-dev.txt && python -m pytest",
    ):
        assert line in README
        assert line in ci


def test_figures_are_those_of_the_benchmark(load_benchmark):
    assert load_benchmark("recipes").table(RECIPES) in README


def test_the_table_beside_hugging_face_is_that_of_the_results(load_benchmark):
    assert load_benchmark("comparison").table() in README


def test_the_figures_of_pairs_are_those_of_the_results(load_benchmark):
    g2p, figures = load_benchmark("g2p"), G2P["figures"]
    assert g2p.table(figures) in README
    assert g2p.curve_table(figures) in README
    assert load_benchmark("comparison").pair_table() in README


def test_the_run_on_pairs_is_of_the_config_as_it_is():
    keys, run = load_config(ROOT / "configs" / "g2p.yaml"), G2P["figures"]["run"]
    sizes = {"vocab_size": 72, "source_vocab_size": 32}  # of data/cmudict-single.tsv
    model = build_model(**keys.architecture(**sizes))
    assert sum(p.numel() for p in model.parameters()) == run["num_parameters"] <= 10_000_000
    assert run["elapsed_seconds"] <= 75 * 60
    assert run["elapsed_seconds"] == pytest.approx(60 * keys.max_minutes, rel=0.02)


@pytest.mark.parametrize("config", RECIPES)
def test_a_row_of_the_figures_is_of_the_config_as_it_is(config):
    """As many parameters and steps: a recipe that changed is to be measured again."""
    row = RECIPES[config]
    keys = load_config(ROOT / config)
    model = build_model(**keys.architecture(SYMBOLS))
    assert sum(p.numel() for p in model.parameters()) == row["num_parameters"]
    assert all(run["step"] == keys.max_steps for run in row["runs"])


def entries(page: str, start: str = "train.py  ") -> set[str]:
    """The paths that a page's tree of files names; a folder's end in a slash."""
    (tree,) = re.findall(rf"^```\n({start}.*?)^```$", page, re.MULTILINE | re.DOTALL)
    found, folders = set(), []
    for indent, name in re.findall(r"^( *)([\w.-]+/?)(?= |$)", tree, re.MULTILINE):
        folders = folders[: len(indent) // 2]
        found.add("".join(folders) + name)
        folders.append(name)
    return found


def test_the_tree_of_the_architecture_page_names_every_file_in_its_folder():
    listed = entries((ROOT / "docs" / "architecture.md").read_text(encoding="utf-8"))
    sources = [*ROOT.glob("*.py"), *(ROOT / "transformer").rglob("*.py")]
    files = {path.relative_to(ROOT).as_posix() for path in sources if path.name != "__init__.py"}
    assert {name for name in listed if name.endswith(".py")} == files
    assert {f"{folder}/" for folder in SUMMED_UP if (ROOT / folder).exists()} <= listed


def test_the_readmes_tree_names_every_script_and_room():
    listed = entries(README)
    scripts = {path.name for path in ROOT.glob("*.py")}
    rooms = {f"transformer/{p.parent.name}/" for p in (ROOT / "transformer").glob("*/__init__.py")}
    assert {name for name in listed if name.startswith("transformer/")} == rooms | {"transformer/"}
    assert {name for name in listed if name.endswith(".py")} == scripts


def test_python_example_runs_and_warns_of_nothing(tmp_path, monkeypatch, capsys):
    fit, _ = code_blocks("python")
    (tmp_path / "my_book.txt").write_text("To be, or not to be.\n" * 200, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    shorter = fit.replace(
        "max_steps=500, val_check_interval=100", "max_steps=3, val_check_interval=3"
    )
    assert shorter != fit
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        exec(shorter.replace("pl.Trainer(", "pl.Trainer(accelerator='cpu', "), {})
    seen = (UserWarning, FutureWarning)  # by whoever does not ask for more
    assert [str(w.message) for w in said if issubclass(w.category, seen)] == []
    output = "".join(capsys.readouterr())
    assert "val_loss" in output  # on the progress bar
    assert "-2" not in output
    assert generate.main(["my_model.ckpt", "--max_new_tokens", "3"]) == 0
