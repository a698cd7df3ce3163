"""A page that runs the model: export.py --to html and explain.py --live, as a user calls them."""

import json
import re
import shutil
from pathlib import Path

import pytest

import explain
import export
from transformer.export.formats.html import Html
from transformer.system.errors import UserError

TO_PAGE = ("--to", "html", "--out", "page.html")
HOSTILE = "To </script>\"'"


@pytest.fixture
def trained(finished, tmp_path, monkeypatch):
    """The folder of a finished run, copied into the current folder; Node is not asked."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Html, "version", lambda self: None)
    shutil.copytree(finished.folder, "runs/tiny/version_0")
    return Path("runs/tiny/version_0")


def refuses(script, flags, words):
    before = sorted(Path().rglob("*"))
    with pytest.raises(UserError, match=words) as caught:
        script.main(list(map(str, flags)))
    assert "\n" not in str(caught.value)
    assert "=True" not in str(caught.value)
    assert sorted(Path().rglob("*")) == before


def data_of(path):
    page = Path(path).read_text(encoding="utf-8")
    return json.loads(re.search(r'id="model">(.*?)</script>', page)[1])


def test_the_newest_run_becomes_a_page_with_its_facts_and_its_curve(trained, capsys, finished):
    assert export.main([*TO_PAGE]) == 0
    said = capsys.readouterr().out.splitlines()
    assert re.match(
        r"page.html: a page of 0\.\d\d MB that runs a gpt with [\d,]+ parameters", said[0]
    )
    assert "Node 18 or later" in said[1]
    data = data_of("page.html")
    facts, summary = data["facts"], finished.summary
    assert facts["val_loss"] == summary["val_loss"]
    assert facts["steps"] == summary["best_step"]
    assert facts["num_parameters"] == summary["num_parameters"]
    assert facts["corpus"] == "hamlet.txt"
    assert facts["prompt"] == "To "
    assert facts["command"].startswith("python train.py --batch_size 7 ")
    assert data["view"] == "write"
    assert data["curve"][-1][0] == 70
    assert {len(row) for row in data["curve"]} == {3}
    assert [row[2] for row in data["curve"] if row[2]] != []


def test_a_run_a_model_and_a_checkpoint_become_the_same_kind_of_page(trained):
    pages = []
    for number, name in enumerate(("", "model.safetensors", "checkpoints/best.ckpt")):
        out = f"{number}.html"
        assert export.main([str(trained / name), "--to", "html", "--out", out]) == 0
        pages.append(data_of(out))
    assert pages[0] == pages[1]
    assert pages[2]["tensors"] == pages[0]["tensors"]
    assert pages[2]["curve"] == pages[0]["curve"]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("nowhere", *TO_PAGE), "nowhere: no such"),
        ((*TO_PAGE, "--runs_dir", "none"), "none: no run with a checkpoint here"),
        (TO_PAGE[:2], "give --out TEXT: where to write it"),
        ((*TO_PAGE, "--format", "q8_0"), "format must be 'int8' or 'float32' with --to html, got"),
        ((*TO_PAGE, "--snapshots", "3"), "version_0: has no snapshots: train with --snapshots 3"),
        ((*TO_PAGE, "--snapshots", "-1"), "--snapshots must be at least 0|--snapshots.*0"),
        (
            ("--to", "gguf", "--out", "x", "--snapshots", "3"),
            "--snapshots does not apply to --to g",
        ),
        (("--to", "html", "--out", "runs"), "runs is a folder: --out must be a file"),
        (
            ("--to", "html", "--out", "runs/tiny/version_0/config.yaml/page.html"),
            "config.yaml is a file, not a folder: give another --out",
        ),
    ],
)
@pytest.mark.usefixtures("trained")
def test_bad_input_is_one_line_and_writes_nothing(flags, words):
    refuses(export, flags, words)


@pytest.mark.usefixtures("trained")
def test_a_page_that_is_there_is_replaced_with_force_alone():
    Path("page.html").write_text("mine", encoding="utf-8")
    refuses(export, TO_PAGE, "page.html exists: give another --out, or --force to replace it")
    assert export.main([*TO_PAGE, "--force"]) == 0
    assert data_of("page.html")["name"] == "tiny"


@pytest.mark.usefixtures("trained")
def test_a_large_page_is_written_with_force_alone(monkeypatch):
    monkeypatch.setattr("transformer.pages.live.page.MOST_BYTES", 100_000)
    refuses(export, TO_PAGE, r"the page would have about 0 MB, more than 0: give --force to write")
    refuses(explain, ("--live", "--prompt", "To"), "leave out --live, or write it with .*--force")
    assert export.main([*TO_PAGE, "--force"]) == 0


def test_a_folder_that_cannot_be_written_into_is_named(trained, monkeypatch):
    monkeypatch.setattr("transformer.export.places.os.access", lambda *_: False)
    refuses(export, TO_PAGE, "page.html: cannot write in .*: give another --out")
    live = ("--live", "--prompt", "To")
    refuses(explain, live, "explain.html: cannot write in .*: give another --out")


@pytest.mark.usefixtures("trained")
def test_explain_live_writes_the_same_page_opened_at_its_text(capsys):
    assert explain.main(["--live", "--prompt", "To be", "--out", "live.html"]) == 0
    assert re.match(r"live.html: 0\.\d\d MB; it runs the model in", capsys.readouterr().out)
    export.main([*TO_PAGE])
    live, page = data_of("live.html"), data_of("page.html")
    assert (live["view"], live["facts"].pop("prompt")) == ("explain", "To be")
    del live["crc32"], live["view"], page["crc32"], page["view"], page["facts"]["prompt"]
    assert live == page


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--live",), "nothing to explain: give a --prompt"),
        (("--live", "--prompt", "To", "--out", "x.png"), "--live writes a page: --out must end in"),
        (("--live", "--prompt", "To", "--seed", "3"), "--seed does not apply to --live"),
        (("--live", "--prompt", "To", "--max_new_tokens", "3"), "--max_new_tokens does not apply"),
        (("--live", "--prompt", HOSTILE), "the model never saw .*'/'.*: remove .*--skip_unknown"),
    ],
)
@pytest.mark.usefixtures("trained")
def test_bad_input_of_explain_live_is_one_line(flags, words):
    refuses(explain, flags, words)


@pytest.mark.usefixtures("trained")
def test_unknown_characters_stay_in_the_prompt_with_skip_unknown():
    """The page names them where they stand."""
    assert explain.main(["--live", "--prompt", HOSTILE, "--skip_unknown"]) == 0
    assert data_of("explain.html")["facts"]["prompt"] == HOSTILE


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("node") is None, reason="compares with Node")
def test_the_commands_of_the_documents_in_processes_of_their_own(finished, run, tmp_path):
    folder = finished.folder
    done = run("export.py", folder, *TO_PAGE, cwd=tmp_path, python=("-W", "error"))
    assert done.returncode == 0, done.stderr
    assert re.search(r"loaded again by node \d+.*greedy tokens are the same", done.stdout)
    again = run("export.py", folder, *TO_PAGE[:3], "again.html", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    page = (tmp_path / "page.html").read_bytes()
    assert (tmp_path / "again.html").read_bytes() == page
    assert str(tmp_path).encode() not in page
    failed = run("export.py", folder, *TO_PAGE, cwd=tmp_path)
    assert failed.returncode == 2
    assert failed.stderr.count("\n") == 1
    assert (tmp_path / "page.html").read_bytes() == page
