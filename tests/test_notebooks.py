"""The notebooks: their form, that they were executed, and (slow) that what they claim holds."""

import ast
import base64
import importlib
import inspect
import json
import os
import re
import subprocess
import sys
import warnings
from datetime import datetime
from functools import cache
from pathlib import Path

import nbformat
import pytest

from tests.marks import last_long

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LESSONS = [
    *("attention_is_a_graph", "basic_self_attention", "bigram_model", "numpy_transformer"),
    "transformer_deep_dive",
]
# What a lesson compares the package with; everything else is the package's own.
OWN_CLASSES = {"attention_is_a_graph": ["GraphAttention"]}
MOST_SECONDS = 90  # on two cores
MOST_BYTES = 400_000
MOST_PICTURE_BYTES = 60_000
MOST_LINES = 15  # of a cell of code

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
TAKE_MINUTES = ("attention_is_a_graph", "basic_self_attention")
SHORT_FIRST = sorted(NOTEBOOKS, key=lambda path: path.stem in TAKE_MINUTES)


def cells(path, kind):
    """As they stand in the file: nbformat's reader would mend some faults."""
    content = json.loads(path.read_text(encoding="utf-8"))
    found = [cell for cell in content["cells"] if cell["cell_type"] == kind]
    return [cell | {"source": "".join(cell["source"])} for cell in found]


def code(cell):
    """Without IPython's own lines, which are no Python."""
    return re.sub(r"^%.*\n", "", cell["source"] + "\n", flags=re.MULTILINE)


def nodes(path):
    for cell in cells(path, "code"):
        yield from ast.walk(ast.parse(code(cell)))


def imports(path):
    """Module, and the name that is taken from it, if any."""
    for node in nodes(path):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module, alias.name) for alias in node.names)


def test_the_lessons_are_there_and_the_readme_lists_each():
    assert [path.stem for path in NOTEBOOKS] == LESSONS
    listed = re.findall(r"^- \[`(\w+)`\]\(notebooks/\1\.ipynb\): ", README, re.MULTILINE)
    assert sorted(listed) == LESSONS


@each_notebook
def test_a_notebook_is_valid_and_each_cell_has_an_id(path):
    content = json.loads(path.read_text(encoding="utf-8"))
    assert (content["nbformat"], content["nbformat_minor"]) == (4, 5)
    nbformat.validate(content)
    ids = [cell["id"] for cell in content["cells"]]
    assert len(set(ids)) == len(ids)


@each_notebook
def test_an_editor_has_left_nothing_of_its_own(path):
    content = json.loads(path.read_text(encoding="utf-8"))
    assert set(content["metadata"]) == {"kernelspec", "language_info"}
    assert content["metadata"]["kernelspec"]["name"] == "python3"
    kept = {name for cell in content["cells"] for name in cell["metadata"]}
    assert kept <= {"execution"}  # when it ran, which a test below reads


def stated_seconds(path):
    text = " ".join(cells(path, "markdown")[0]["source"].split())
    (seconds,) = re.findall(r"\*\*Time\*\*: about (\d+) seconds on two CPU cores", text)
    return int(seconds)


@each_notebook
def test_it_opens_with_what_it_teaches_how_to_run_it_and_how_long_it_takes(path):
    first = json.loads(path.read_text(encoding="utf-8"))["cells"][0]
    assert first["cell_type"] == "markdown"
    text = " ".join("".join(first["source"]).split())
    assert text.startswith("# ")
    (how,) = re.findall(r"\*\*To run it\*\*: (.+?) \*\*Time\*\*", text)
    for part in ("pip install -r requirements-dev.txt", f"`notebooks/{path.name}`", "Colab"):
        assert part in how
    assert 0 < stated_seconds(path) < MOST_SECONDS


def test_the_readme_says_how_long_the_shortest_and_the_longest_take():
    stated = sorted(map(stated_seconds, NOTEBOOKS))
    text = " ".join(README.split())
    assert f"{stated[0]} to {stated[-1]} seconds each on two cores of an AMD EPYC:" in text


def test_all_notebooks_find_the_package_by_the_same_cell():
    assert len({cells(path, "code")[0]["source"] for path in NOTEBOOKS}) == 1


@pytest.mark.parametrize("folder", [".", "notebooks"])
def test_the_first_cell_finds_the_package_beside_the_notebook_or_above_it(folder):
    program = code(cells(NOTEBOOKS[0], "code")[0])
    program += "import transformer; print(transformer.__file__)"
    command = [sys.executable, "-I", "-c", program]  # -I: this folder is not searched by itself
    done = subprocess.run(command, cwd=ROOT / folder, capture_output=True, text=True)
    assert str(ROOT / "transformer") in done.stdout, done.stderr


def test_elsewhere_the_first_cell_installs_the_package_from_the_address_it_is_given(
    tmp_path, monkeypatch
):
    commands = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr(subprocess, "run", lambda command, check: commands.append(command))
    program = code(cells(NOTEBOOKS[0], "code")[0])
    with pytest.raises(AssertionError, match="address of the repository"):
        exec(program, {})
    assert commands == []
    exec(program.replace('REPOSITORY = ""', 'REPOSITORY = "https://example.org/it"'), {})
    (command,) = commands
    assert command[1:] == ["-m", "pip", "install", "--quiet", "git+https://example.org/it"]


def test_where_the_package_is_installed_the_first_cell_does_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    monkeypatch.setattr(subprocess, "run", None)
    before = list(sys.path)
    exec(code(cells(NOTEBOOKS[0], "code")[0]), {})
    assert sys.path == before


@each_notebook
def test_what_it_imports_is_the_package_or_pinned_and_is_there(path):
    pinned = "".join(
        (ROOT / name).read_text(encoding="utf-8")
        for name in ("requirements.txt", "requirements-dev.txt")
    )
    known = {line.split("==")[0].replace("-", "_") for line in pinned.splitlines()}
    assert any(module.split(".")[0] == "transformer" for module, _ in imports(path))
    for module, name in imports(path):
        top = module.split(".")[0]
        assert top in known | {"transformer"} | sys.stdlib_module_names
        if top == "transformer":
            found = importlib.import_module(module)
            assert name is None or hasattr(found, name), f"{module} has no {name}"
            assert not str(name).startswith("_")


@each_notebook
def test_the_package_is_called_with_the_arguments_that_it_takes(path):
    """The notebooks run in the slow tests alone; a signature that changes is seen here."""
    taken = {
        name: getattr(importlib.import_module(module), name)
        for module, name in imports(path)
        if module.split(".")[0] == "transformer" and name
    }
    calls = [node for node in nodes(path) if isinstance(node, ast.Call)]
    calls = [node for node in calls if isinstance(node.func, ast.Name) and node.func.id in taken]
    assert calls
    for call in calls:
        named = {keyword.arg: keyword.value for keyword in call.keywords}
        open_ended = None in named or any(isinstance(item, ast.Starred) for item in call.args)
        signature = inspect.signature(taken[call.func.id])
        named.pop(None, None)
        (signature.bind_partial if open_ended else signature.bind)(*call.args, **named)


DEFINITIONS = (ast.ClassDef, ast.FunctionDef)


@cache
def defined_by_the_package():
    return {
        node.name
        for source in (ROOT / "transformer").rglob("*.py")
        for node in ast.parse(source.read_text(encoding="utf-8")).body
        if isinstance(node, DEFINITIONS)
    }


@each_notebook
def test_it_defines_nothing_that_the_package_has(path):
    defined = [node.name for node in nodes(path) if isinstance(node, DEFINITIONS)]
    assert [name for name in defined if name in defined_by_the_package()] == []
    classes = [node.name for node in nodes(path) if isinstance(node, ast.ClassDef)]
    assert classes == OWN_CLASSES.get(path.stem, [])


@each_notebook
def test_cells_of_code_are_short_and_claims_are_asserted(path):
    sources = [cell["source"] for cell in cells(path, "code")]
    assert [source for source in sources if len(source.splitlines()) > MOST_LINES] == []
    assert sum(isinstance(node, ast.Assert) for node in nodes(path)) >= 5


@each_notebook
def test_formulas_have_a_source(path):
    text = "\n".join(cell["source"] for cell in cells(path, "markdown"))
    assert text.count("$$") >= 2
    assert text.count("$$") % 2 == 0
    assert re.search(r"arXiv:\d{4}\.\d{5}|Shannon 1948", text)


@each_notebook
def test_a_notebook_and_its_pictures_are_small(path):
    assert path.stat().st_size < MOST_BYTES
    for cell in cells(path, "code"):
        for output in cell["outputs"]:
            picture = output.get("data", {}).get("image/png", "")
            assert len(base64.b64decode("".join(picture))) < MOST_PICTURE_BYTES


def faults(outputs):
    """Errors, and what libraries said on stderr."""
    return [
        output
        for output in outputs
        if output["output_type"] == "error" or output.get("name") == "stderr"
    ]


@each_notebook
def test_a_notebook_was_executed_from_top_to_bottom_without_a_fault(path):
    """As by `jupyter execute --inplace`: CONTRIBUTING.md."""
    found = cells(path, "code")
    assert [cell["execution_count"] for cell in found] == [*range(1, len(found) + 1)]
    assert [fault for cell in found for fault in faults(cell["outputs"])] == []
    assert any(cell["outputs"] for cell in found)


@each_notebook
def test_the_committed_run_took_about_as_long_as_the_notebook_says(path):
    """From the start of its first cell to the end of its last, by the kernel's clock."""
    times = [cell["metadata"]["execution"] for cell in cells(path, "code")]
    start = datetime.fromisoformat(times[0]["iopub.execute_input"])
    seconds = (datetime.fromisoformat(times[-1]["shell.execute_reply"]) - start).total_seconds()
    assert seconds < MOST_SECONDS
    assert 0.6 * seconds - 5 < stated_seconds(path) < 1.6 * seconds + 5


@pytest.mark.slow(seconds=45)
@pytest.mark.parametrize("path", last_long(SHORT_FIRST, 2), ids=lambda path: path.stem)
def test_it_runs_in_time_and_every_assert_in_it_holds(path, tmp_path, monkeypatch):
    """On one thread, and by what the processor worked: a busy machine changes neither."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries that start and ask a kernel
        from nbclient import NotebookClient

        for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "TMPDIR"):  # nobody's settings
            (tmp_path / name).mkdir()
            monkeypatch.setenv(name, str(tmp_path / name))
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
        (tmp_path / "transformer").symlink_to(ROOT / "transformer")
        (tmp_path / "notebooks").mkdir()
        place = {"metadata": {"path": str(tmp_path / "notebooks")}}
        notebook = nbformat.read(path, as_version=4)
        before = os.times()
        NotebookClient(notebook, timeout=600, kernel_name="python3", resources=place).execute()
        after = os.times()
    assert [fault for cell in notebook.cells for fault in faults(cell.get("outputs", []))] == []
    used = sum(after[2:4]) - sum(before[2:4])  # of child processes: user and system
    assert 0 < used < 2 * MOST_SECONDS
