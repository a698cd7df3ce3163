"""What the README says is executed or compared: figures, tree, example; its commands are run in
test_docs_commands.py.
"""

import json
import re
import warnings
from pathlib import Path

import pytest

import generate
from transformer.config.data_keys import REQUIRED_KEYS
from transformer.config.files import load_config
from transformer.models import build_model

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
RESULTS = ROOT / "benchmarks" / "results" / "amd-epyc-avx2"
OTHER = RESULTS.parent / "intel-xeon-avx512-bf16-amx"  # the second processor of the table
RECIPES = json.loads((RESULTS / "recipes.json").read_text(encoding="utf-8"))["figures"]
SYMBOLS = 64  # of data/input.txt
MOST_LINES = 200
# Folders whose files the tree sums up in one line.
SUMMED_UP = ("tests", "configs", "benchmarks", "data", "docs", "notebooks", "static")


def code_blocks(language: str) -> list[str]:
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return [text for name, text in blocks if name == language]


def test_it_is_short():
    assert len(README.splitlines()) <= MOST_LINES


def test_the_two_install_lines_stand_there_and_ci_runs_them():
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for line in (
        "pip install -r requirements.txt && python train.py",
        "pip install -r requirements-dev.txt && python -m pytest",
    ):
        assert line in README
        assert line in ci


def test_figures_are_those_of_the_benchmark(load_benchmark):
    assert load_benchmark("recipes").table() in README


def test_the_losses_of_both_processors_are_alike():
    """What the second one adds to the table is its minutes: it must have trained as well."""
    others = json.loads((OTHER / "recipes.json").read_text(encoding="utf-8"))["figures"]
    assert others.keys() == RECIPES.keys()
    for config, row in others.items():
        if row["num_parameters"] != RECIPES[config]["num_parameters"]:
            continue  # a former shape, whose minutes are not shown
        assert row["val_loss"] == pytest.approx(RECIPES[config]["val_loss"], rel=0.02)


@pytest.mark.parametrize("config", RECIPES)
def test_a_row_of_the_figures_is_of_the_config_as_it_is(config):
    """As many parameters and steps: a recipe that changed is to be measured again."""
    row = RECIPES[config]
    keys = load_config(ROOT / config)
    model = build_model(**keys.architecture(SYMBOLS))
    assert sum(p.numel() for p in model.parameters()) == row["num_parameters"]
    assert all(run["step"] == keys.max_steps for run in row["runs"])


def test_the_ten_keys_are_the_required_ones_and_the_time_limit():
    keys = re.findall(r"^\| `(\w+)` \|", README, re.MULTILINE)
    assert keys == [*REQUIRED_KEYS, "max_minutes"]


def entries(page: str, start: str = "train.py  ") -> set[str]:
    """The paths that a page's tree of files names; a folder's end in a slash."""
    (tree,) = re.findall(rf"^```\w*\n({start}.*?)^```$", page, re.MULTILINE | re.DOTALL)
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
