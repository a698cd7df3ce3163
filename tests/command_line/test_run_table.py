"""`python plot.py --table`: what differs between runs, their losses, and which are left out."""

import json
import shutil

import pytest

import plot
from tests.command_line.conftest import TINY
from transformer.storage.run_lock import RunLock
from transformer.system.errors import UserError


@pytest.fixture
def make_run(tmp_path):
    def make(name, loss=None, keys="", **facts):
        run = tmp_path / "runs" / name
        run.mkdir(parents=True)
        (run / "config.yaml").write_text(TINY + keys, encoding="utf-8")
        if loss is not None:
            facts = {"best_step": 60, "step": 70, "elapsed_seconds": 125.0, **facts}
            text = json.dumps({"val_loss": loss, **facts})
            (run / "summary.json").write_text(text, encoding="utf-8")
        return run

    return make


@pytest.fixture
def table(tmp_path, monkeypatch, capsys):
    """The cells of each row by column, of what `plot.py --table` prints; and its stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*flags):
        assert plot.main(["--table", *map(str, flags)]) == 0
        said = capsys.readouterr()
        head, line, *rows = said.out.splitlines()
        starts = [
            at for at in range(len(line)) if line[at] == "-" and (at == 0 or line[at - 1] == " ")
        ]
        cut = [slice(a, b) for a, b in zip(starts, [*starts[1:], None], strict=True)]
        names = [head[part].strip() for part in cut]
        rows = [row for row in rows if not row.startswith("~:")]
        return [dict(zip(names, (row[p].strip() for p in cut), strict=True)) for row in rows], said

    return call


def test_a_row_tells_only_the_keys_that_differ_and_the_lowest_loss_is_first(make_run, table):
    make_run("a/version_0", 2.5, "dropout: 0.0\nrun_name: a\n")
    make_run("a/deep/er/version_3", 1.25, "dropout: 0.1\nrun_name: b\n")
    make_run("b/version_0", 2.0, "model: gpt\nrun_name: c\n")  # a default, as when it is left out
    rows, _ = table()
    assert rows == [
        {
            "run": f"runs/{name}",
            "val_loss": loss,
            "best/last step": "60/70",
            "time": "2:05 min",
            "state": "ended",
            "dropout": dropout,
        }
        for name, loss, dropout in (
            ("a/deep/er/version_3", "1.2500", "0.1"),
            ("b/version_0", "2.0000", "0"),
            ("a/version_0", "2.5000", "0"),
        )
    ]


def test_runs_of_several_tokenizers_are_compared_by_bits_per_byte(make_run, table):
    make_run("characters", 1.5, val_bits_per_byte=2.2)
    make_run("bytes", 1.4, "tokenizer: bytes\n", val_bits_per_byte=2.1)
    make_run("pieces", 4.0, "tokenizer: bpe\nvocab_size: 300\n", val_bits_per_byte=2.0)
    rows, _ = table()
    assert [row["val_bits_per_byte"] for row in rows] == ["2.0000", "2.1000", "2.2000"]


def test_many_keys_share_a_column_of_what_is_not_as_in_most_runs(make_run, table):
    for name in ("a", "b"):
        make_run(name, 2.0)
    keys = "bias: false\ndropout: 0.1\nnorm: rmsnorm\nseed: 3\neps: 1e-6\nbeta1: 0.8\nbeta2: 0.9\n"
    make_run("c", 3.0, f"{keys}momentum: 0.5\ngrad_clip: 0\n")
    rows, _ = table()
    words = [row["not as in most runs"] for row in rows]
    assert words[:2] == ["", ""]
    assert words[2].startswith("norm=rmsnorm dropout=0.1 bias=false")
    assert words[2].endswith("and 1 more (--json)")


def test_a_run_that_has_not_ended_has_the_loss_of_its_last_validation(finished, table, tmp_path):
    stopped = tmp_path / "stopped" / "version_0"
    shutil.copytree(finished.folder, stopped)
    (stopped / "summary.json").unlink()
    rows, said = table(finished.folder, tmp_path)
    by_state = {row["state"]: row for row in rows}
    exact, last = (by_state[state] for state in ("ended", "stopped"))
    assert exact["val_loss"] == f"{finished.summary['val_loss']:.4f}"
    assert last["val_loss"] == f"~{finished.summary['last_val_loss']:.4f}"
    assert exact["best/last step"] == last["best/last step"]
    assert "~: of the last validation" in said.out
    with RunLock() as lock:
        lock.take(stopped)
        rows, _ = table(tmp_path)
    assert [row["state"] for row in rows] == ["runs"]


def test_folders_that_are_no_runs_are_a_line_each(make_run, table, tmp_path):
    make_run("good", 2.0)
    make_run("new")  # has logged nothing yet
    (make_run("broken", 1.0) / "summary.json").write_text("{", encoding="utf-8")
    (make_run("foreign") / "config.yaml").write_text("trainer:\n  lr: 1\n", encoding="utf-8")
    (make_run("binary") / "config.yaml").write_bytes(b"\xff\x00")
    for name in ("garbled", "cut"):
        run = make_run(name)
        events = run / "events.out.tfevents.1.host.1.0"
        events.write_bytes(b"\x07garbage" * 99 if name == "garbled" else b"")
    (tmp_path / "empty").mkdir()
    rows, said = table("runs", "empty")
    assert [row["run"] for row in rows] == [f"runs/{n}" for n in ("good", "cut", "garbled", "new")]
    lines = said.err.splitlines()
    assert len(lines) == 4
    for name in ("broken/summary.json", "foreign/config.yaml", "binary/config.yaml"):
        assert any(f"left out: runs/{name}" in line for line in lines)
    assert "empty: no run in here, which would have a config.yaml" in lines


def test_a_loss_that_is_no_number_is_last_and_null_for_programs(make_run, tmp_path, capsys):
    runs = tmp_path / "runs"
    make_run("diverged", float("nan"))
    make_run("good", 2.0)
    assert plot.main(["--table", str(runs), str(runs / "good"), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert [row["val_loss"] for row in facts["runs"]] == [2.0, None]  # each run once
    assert (facts["metric"], facts["differing_keys"]) == ("val_loss", [])


@pytest.mark.parametrize(
    ("flags", "match"),
    [
        ("--table nowhere", "nowhere: no such folder: name a run, or a folder of runs"),
        ("--table", "runs: no run to show: train one with"),
        ("--table --out a.png", r"--out a\.png: --table draws no picture"),
        ("--json", "--json goes with --table"),
    ],
)
def test_mistakes_are_errors(flags, match, tmp_path, monkeypatch):
    (tmp_path / "runs").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=f"^{match}"):
        plot.main(flags.split())
