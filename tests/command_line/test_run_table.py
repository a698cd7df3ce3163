"""`python plot.py --table`: what differs between runs, their losses, and which are left out."""

import json
import shutil
from pathlib import Path

import pytest

import plot
from tests.command_line.conftest import TINY
from transformer.storage.run_lock import RunLock
from transformer.storage.summaries import set_aside_summary
from transformer.sweep.plan import Plan
from transformer.sweep.run_rows import ENDED, RunRow, metric_of_rows
from transformer.sweep.space import Choice
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
        rows = [row for row in rows if not row.startswith(("~:", "models of "))]
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


def pair_keys(keys=""):
    return TINY.replace('sample_prompt: "To "\n', keys) + "model: encoder_decoder\n"


@pytest.fixture
def make_pair_run(make_run):
    def make(name, loss, units, words, keys=""):
        run = make_run(name, loss, val_unit_error_rate=units, val_word_error_rate=words)
        (run / "config.yaml").write_text(pair_keys(keys), encoding="utf-8")

    return make


def test_runs_on_pairs_are_ranked_by_the_score_that_picks_their_weights(make_pair_run, table):
    make_pair_run("low_loss", 0.5, 0.3, 0.8, "dropout: 0.1\n")
    make_pair_run("few_wrong_units", 0.9, 0.1, 0.7)
    rows, said = table()
    assert [(row["run"], row["val_unit_error_rate"]) for row in rows] == [
        ("runs/few_wrong_units", "0.1000"),
        ("runs/low_loss", "0.3000"),
    ]
    assert "cannot be compared" not in said.out
    make_pair_run("other_units", 0.2, 0.05, 0.9, "target_units: words\n")
    rows, _ = table()
    assert [row["val_word_error_rate"] for row in rows] == ["0.7000", "0.8000", "0.9000"]


def test_texts_and_pairs_have_only_val_loss_in_common_and_a_line_says_so(
    make_run, make_pair_run, table
):
    make_run("text", 1.5, val_bits_per_byte=2.2)
    make_pair_run("pairs", 0.9, 0.1, 0.7)
    rows, said = table()
    assert [row["val_loss"] for row in rows] == ["0.9000", "1.5000"]
    assert said.out.endswith("texts and of pairs: their losses cannot be compared\n")


@pytest.mark.parametrize("model", ["gpt", "encoder_decoder"])
@pytest.mark.parametrize(
    "space",
    [
        {"lr": Choice((0.1, 0.2))},
        {"data_path": Choice(("a", "b"))},
        {"drop_duplicates": Choice((0, 30))},
        {"target_units": Choice(("characters", "words"))},
    ],
    ids=lambda space: next(iter(space)),
)
def test_a_sweep_and_the_table_of_its_runs_compare_by_the_same_score(model, space):
    plan = Plan({"model": model, "lr": 0.3}, "grid", space)
    scores = dict.fromkeys(("val_loss", "val_bits_per_byte"), 1.0)
    if model == "encoder_decoder":
        scores = dict.fromkeys(("val_loss", "val_unit_error_rate", "val_word_error_rate"), 1.0)
    (key, values), *_ = space.items()
    rows = [
        RunRow(Path(str(value)), ENDED, plan.base | {key: value}, scores)
        for value in values.plain()
    ]
    assert metric_of_rows(rows) == plan.metric


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


def test_a_run_that_goes_on_after_its_end_has_not_ended_and_keeps_its_summary(make_run, table):
    run = make_run("a", 2.5)
    before = (run / "summary.json").read_bytes()
    set_aside_summary(run)
    set_aside_summary(run)  # there is none any more
    rows, _ = table()
    assert [(row["state"], row["val_loss"]) for row in rows] == [("stopped", "")]
    assert (run / "summary-step-000070.json").read_bytes() == before


def test_a_run_that_failed_in_a_sweep_is_last_as_there(make_run, table, tmp_path):
    make_run("sweep/lr-0.1_seed-0/version_0", 2.5, "dropout: 0.1\n")
    make_run("sweep/lr-9_seed-0/version_0", 2.0)
    make_run("other/lr-9_seed-0/version_0", 2.25)
    failures = json.dumps({"lr-9_seed-0": "its gradients were not finite"})
    (tmp_path / "runs/sweep/failures.json").write_text(failures, encoding="utf-8")
    rows, _ = table()
    assert [(row["run"].split("/")[1], row["state"]) for row in rows] == [
        ("other", "ended"),
        ("sweep", "ended"),
        ("sweep", "failed"),
    ]


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
