"""The race: which candidates there are, and that the best one goes on with what it has learned."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from transformer.config.drafts import read_draft
from transformer.config.files import load_config
from transformer.run.fit import train
from transformer.run.planning.law import PLAIN
from transformer.run.planning.planner import DataFacts, Plan
from transformer.run.planning.race import RACE_SHARE, Entry, Placed, entries_of, race
from transformer.run.planning.sizes import Size
from transformer.run.planning.steps import StepSeconds
from transformer.run.planning.texts import TextPlanner

ROOT = Path(__file__).parents[3]
SECONDS = {(64, 2): 0.03, (128, 1): 0.05, (128, 2): 0.08, (256, 1): 0.13, (256, 2): 0.24}


def entries(minutes, **given):
    draft = read_draft(ROOT / "configs" / "auto.yaml", given)
    facts = DataFacts(1_000_000, 200_000, 65, 1_000_000, 128.0)
    planner = TextPlanner(draft, facts, PLAIN, StepSeconds(SECONDS), promised=1.9)
    return entries_of(planner, minutes)


def sizes(entries):
    keys = ("embedding_dim", "num_blocks")
    return [tuple(getattr(each.config, key) for key in keys) for each in entries]


def test_ten_minutes_have_a_race_of_three_sizes_whose_times_add_up_to_them():
    raced = entries(10.0, max_minutes="10")
    assert len(set(sizes(raced))) == len(raced) == 3
    losers = sum(each.race_seconds for each in raced[1:])
    assert [each.planner.spent_seconds for each in raced] == [pytest.approx(losers)] * 3
    assert {each.config.max_minutes for each in raced} == {10.0}  # as it was given
    assert sum(each.race_seconds for each in raced) == pytest.approx(600 * RACE_SHARE)


@pytest.mark.parametrize(
    ("minutes", "given"),
    [
        (9.9, {}),
        (30.0, {"race": "false"}),
        (30.0, {"embedding_dim": "64", "num_heads": "2", "num_blocks": "2"}),
    ],
)
def test_there_is_no_race_in_short_runs_without_the_key_or_with_one_size(minutes, given):
    (only,) = entries(minutes, **given)
    assert only.race_seconds == 0


def test_one_open_size_is_raced_between_its_values():
    assert sizes(entries(30.0, embedding_dim="64", num_heads="2")) != []
    assert all(width == 64 for width, _ in sizes(entries(30.0, embedding_dim="64")))


def test_better_than_expected_in_the_race_is_expected_at_the_end():
    plan = Plan(Size(64, 2, 2), {"dropout": 0.0}, 1000, 1.0, 1.5)
    expects = SimpleNamespace(after=lambda plan, steps: 100 / steps)
    entry = Entry(load_config(ROOT / "configs" / "quick.yaml"), plan, expects)
    as_expected = Placed(entry, Path(), 50, 2.0)
    better = Placed(entry, Path(), 50, 1.9)
    assert as_expected.outlook == pytest.approx(1.5)
    assert better.outlook == pytest.approx(1.4)


@pytest.fixture
def raced(tmp_path, monkeypatch):
    """Two tiny candidates, of which the law expects more of the second one."""
    monkeypatch.chdir(tmp_path)
    text = "".join(chr(97 + (n * n) % 23) + " " * (n % 5 == 0) for n in range(4000))
    Path("own.txt").write_text(text, encoding="utf-8")
    flags = {"data_path": "own.txt", "block_size": "16", "batch_size": "4", "max_minutes": "0.07"}
    flags |= {"cache_dir": "cache", "run_name": "raced", "max_steps": "60", "num_heads": "2"}
    configs = [
        load_config(ROOT / "configs" / "quick.yaml", flags | {"embedding_dim": width})
        for width in ("8", "16")
    ]
    plan = Plan(Size(8, 2, 1), {"dropout": 0.0}, 60, 1.0, 2.0)
    laws = [
        SimpleNamespace(after=lambda plan, steps, loss=loss: loss, spent_seconds=1.0)
        for loss in (9.0, 2.0)
    ]
    return [
        Entry(config, plan, law, race_seconds=0.2)
        for config, law in zip(configs, laws, strict=True)
    ]


def test_the_winner_goes_on_from_its_checkpoint_and_the_others_stay(raced, capsys):
    config, checkpoint = race(raced, train)
    assert config.embedding_dim == 8  # better than expected by far
    assert config.compile == raced[0].config.compile
    printed = capsys.readouterr().out
    assert printed.count("goes on") == 1
    assert "parameters" not in printed  # the race prints only its result
    winner, loser = checkpoint.parents[1], Path("runs", "raced", "version_1")
    state = torch.load(checkpoint, weights_only=True)
    steps = state["global_step"]
    assert 0 < steps < 60
    assert state["callbacks"]["Throughput"]["elapsed_seconds"] > 1.0  # with what the others had
    assert train(config, checkpoint) == winner
    assert (winner / "summary.json").is_file()
    assert torch.load(checkpoint, weights_only=True)["global_step"] > steps
    assert list(loser.glob("events.*"))
    assert not (loser / "summary.json").exists()
