"""`python plot.py`: a picture of a real run's curves, and mistakes as one line."""

import math
import shutil
from collections import Counter

import pytest
from PIL import Image

import plot
from tests.marks import first_fast
from transformer.data.text.corpus import Corpus
from transformer.inspection.axes_style import COLORS
from transformer.models.bigram import Bigram
from transformer.storage.model_file import save_model
from transformer.storage.run_folder import WEIGHTS
from transformer.system.errors import UserError

RUNS = [tuple(bytes.fromhex(color[1:])) for color in COLORS]  # red, green and blue
FLOOR = (0x59,) * 3  # 35 % of white


@pytest.fixture
def plot_here(finished, monkeypatch, capsys):
    """plot.main in this process, where the run was started; what it printed."""
    monkeypatch.chdir(finished.home)

    def call(*arguments):
        assert plot.main([str(argument) for argument in arguments]) == 0
        return capsys.readouterr()

    return call


def read_pixels(path):
    """Width and height, and how many pixels have each color."""
    with Image.open(path) as image:
        colors = image.convert("RGB").getcolors(image.width * image.height)
        return image.size, Counter({color: number for number, color in colors})


@pytest.mark.slow
def test_the_newest_run_becomes_a_picture_of_both_losses_and_the_floor(finished, run, tmp_path):
    out = tmp_path / "new folder" / "curves.png"
    result = run("plot.py", "--out", out, cwd=finished.home, python=("-W", "error"))
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == f"{out}: tiny/version_0\n"
    size, colors = read_pixels(out)
    assert size == (1500, 645)
    assert colors[255, 255, 255] > 500_000
    assert colors[RUNS[0]] > 1000  # of the validation losses
    assert colors[FLOOR] > 500
    assert [path.name for path in out.parent.iterdir()] == ["curves.png"]


def test_several_runs_stand_in_one_picture_each_once(finished, plot_here, tmp_path):
    other = tmp_path / "other" / "version_7"
    shutil.copytree(finished.folder, other)
    out = tmp_path / "curves.png"
    # A run, the folder of runs that it is in, and another.
    printed = plot_here(finished.folder, finished.home / "runs", other, "--out", out)
    assert (printed.out, printed.err) == (f"{out}: tiny/version_0, other/version_7\n", "")
    _, colors = read_pixels(out)
    assert colors[RUNS[1]] > 1000
    assert colors[RUNS[2]] == 0


def test_runs_of_one_name_are_told_apart_by_their_folders(finished, plot_here, tmp_path):
    other = tmp_path / "tiny" / "version_0"
    shutil.copytree(finished.folder, other)
    out = tmp_path / "curves.png"
    printed = plot_here(finished.folder, other, "--out", out).out
    assert printed == f"{out}: {finished.folder.resolve()}, {other.resolve()}\n"


@pytest.mark.parametrize(
    ("name", "start"), first_fast([("a.svg", b"<?xml"), ("b.PDF", b"%PDF-")], several=True)
)
def test_the_ending_says_in_which_format(finished, plot_here, tmp_path, name, start):
    plot_here(finished.folder, "--out", tmp_path / name)
    content = (tmp_path / name).read_bytes()
    assert content.startswith(start)
    assert len(content) > 10_000


def test_a_run_whose_corpus_is_elsewhere_is_plotted_without_the_floor(
    finished, plot_here, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    printed = plot_here(finished.folder, "--out", "curves.png")
    assert printed.err == (
        f"no bigram floor for {finished.folder}: hamlet.txt: is missing: start from the folder "
        "where the run was started\n"
    )
    assert read_pixels("curves.png")[1][FLOOR] < 100  # some of the letters' edges have it too


def test_runs_on_several_texts_have_a_floor_each(tmp_path, capsys):
    paths = [tmp_path / "abc.txt", tmp_path / "xyz.txt"]
    for path in paths:
        path.write_text("".join(path.stem[n % 3] for n in range(100)), encoding="utf-8")
        parts = {
            "config": {"data_path": str(path), "val_fraction": 0.25},
            "corpus": {"sha256": Corpus.from_file(path).sha256},
        }
        save_model(tmp_path / path.stem / WEIGHTS, Bigram(vocab_size=3, block_size=5), parts)
    folders = [tmp_path / name for name in ("abc", "xyz", "abc", "gone")]
    # Each of three pairs 25 times but one, which has 24: (25 + 1) / (25 + 3), on average nearly so.
    assert plot.find_floors(folders) == {
        f"bigram floor, 25% of {path}": pytest.approx(math.log(28 / 26), abs=1e-3) for path in paths
    }
    assert capsys.readouterr().err.startswith(f"no bigram floor for {tmp_path / 'gone'}: ")


@pytest.mark.parametrize("out", ["curves.gif", "curves", "png", ".png"])
def test_another_ending_is_an_error_before_anything_is_read(out):
    with pytest.raises(UserError, match=rf"^--out {out}: must end with \.png, \.svg or \.pdf$"):
        plot.main(["nowhere", "--out", out])


def test_mistakes_are_one_line_and_leave_no_file(run, tmp_path):
    (tmp_path / "empty").mkdir()
    result = run("plot.py", "empty", "--out", "a.png", cwd=tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("error: empty: has no curves")
    assert result.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_a_folder_that_is_not_there_is_an_error(finished, monkeypatch):
    monkeypatch.chdir(finished.home)
    with pytest.raises(UserError, match=r"^nowhere: no such folder: name a run, such as"):
        plot.main(["nowhere"])
    with pytest.raises(UserError, match=r"^nowhere: no run with a checkpoint here"):
        plot.main(["--runs_dir", "nowhere"])
