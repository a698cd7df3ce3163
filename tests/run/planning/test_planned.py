"""From a draft and a text to a plan and its words; the times of steps are given."""

import math
import re
import time
from pathlib import Path

import pytest

from transformer.config.drafts import read_draft
from transformer.config.files import load_config
from transformer.run.assembly import build_task
from transformer.run.planning import texts
from transformer.run.planning.planned import make_planner, outlook, plan_of
from transformer.run.planning.steps import Compiling, StepSeconds
from transformer.run.planning.suggestions import suggestions
from transformer.system.errors import UserError
from transformer.tasks.registry import task_of

SECONDS = {(64, 2): 0.03, (128, 1): 0.05, (128, 2): 0.08, (256, 1): 0.13, (256, 2): 0.24}


def test_the_plan_is_said_with_its_reasons_and_what_to_expect(draft_of):
    (entry,), text, _ = plan_of(draft_of(), time.monotonic())
    config = entry.config
    for key in ("embedding_dim", "num_blocks", "dropout", "lr", "weight_decay", "max_steps"):
        assert key in text
    assert f"embedding_dim  {config.embedding_dim}" in text
    assert "passes over" in text
    assert "expected: val_loss" in text
    assert "twice the time would bring" in text


def test_no_loss_above_that_of_an_untrained_model_is_expected(draft_of, tmp_path, monkeypatch):
    monkeypatch.setattr(texts, "promised_loss", lambda config, data, seconds: 9.0)
    num_symbols = len(set((tmp_path / "text.txt").read_text(encoding="utf-8")))
    most = f"{math.log(num_symbols):.2f}"
    draft = draft_of()
    said = plan_of(draft, time.monotonic()).text.splitlines()[-1]
    assert re.findall(r"val_loss (\S+)|bring (\S+)", said) == [(most, ""), ("", most)]
    rows = outlook(draft, time.monotonic()).splitlines()[2:]
    assert {re.search(r"val_loss (\S+)", row)[1] for row in rows} == {most}
    for each in suggestions(draft, "text.txt", {}):  # of one byte a symbol
        assert each.bits_per_byte == pytest.approx(math.log2(num_symbols))


def test_where_the_law_is_above_an_untrained_model_it_still_ranks_the_plans(draft_of, monkeypatch):
    usual = plan_of(draft_of(), time.monotonic()).entries[0].config
    monkeypatch.setattr(texts, "LAW", texts.LAW._replace(floor=7.0))
    assert plan_of(draft_of(), time.monotonic()).entries[0].config == usual


def test_steps_need_no_clock_and_give_the_same_plan_again(draft_of, monkeypatch):
    monkeypatch.setattr(texts, "timed_steps", None)
    monkeypatch.setattr(texts, "promised_loss", None)
    draft = draft_of(max_steps=200)
    (entry,), text, _ = plan_of(draft, time.monotonic())
    (again,), text_again, _ = plan_of(draft, time.monotonic())
    assert (entry.config, text) == (again.config, text_again)
    assert entry.config.max_steps == 200
    assert "expected" not in text


def test_the_outlook_has_a_row_for_each_time(draft_of):
    rows = outlook(draft_of(), time.monotonic()).splitlines()
    assert [row.split()[0] for row in rows[2:]] == ["1", "3", "10", "30", "120"]


def test_the_outlook_names_the_times_that_are_too_short(draft_of, monkeypatch):
    slow = StepSeconds({size: 60 * seconds for size, seconds in SECONDS.items()})
    monkeypatch.setattr(texts, "timed_steps", lambda config, data: slow)
    *rows, last = outlook(draft_of(), time.monotonic()).splitlines()[2:]
    assert [row.split()[0] for row in rows] == ["3", "10", "30", "120"]
    assert last == "too few minutes to plan for: 1"


@pytest.mark.parametrize(("minutes", "compiles"), [(0.5, "false"), (30, "true")])
def test_the_plan_says_whether_it_compiles(draft_of, monkeypatch, minutes, compiles):
    known = StepSeconds(SECONDS, compiling=Compiling(gain=2.0, seconds=20.0))
    monkeypatch.setattr(texts, "timed_steps", lambda config, data: known)
    said = plan_of(draft_of(max_minutes=minutes, race="false"), time.monotonic()).text
    assert re.search(rf"^compile +{compiles} ", said, re.MULTILINE)


def test_the_outlook_takes_the_start_from_the_minutes_as_a_plan_does(draft_of):
    """Of one minute 15 seconds, of three 45: what takes longer comes on top."""
    short, long = (outlook(draft_of(), time.monotonic() - s).splitlines()[2:] for s in (15, 120))
    assert short[0] == long[0]
    assert [row.split()[0] for row in long] == ["1", "3", "10", "30", "120"]
    assert all(one != other for one, other in zip(short[1:4], long[1:4], strict=True))


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"devices": 2}, ["one device", "print_config"]),
        ({"data_path": "tiny.txt"}, ["tiny.txt", "400 characters", "too few to plan for", "2,000"]),
        ({"data_path": "nowhere.txt"}, ["nowhere.txt", "no such text file"]),
        ({"max_minutes": 0.01}, ["0.01", "too few"]),
        ({"num_blocks": -3}, ["--num_blocks", "-3"]),
        ({"lr": "fast"}, ["--lr", "fast"]),
    ],
    ids=str,
)
def test_what_cannot_be_planned_is_refused_in_one_line(draft_of, tmp_path, flags, words):
    (tmp_path / "tiny.txt").write_text("to be " * 67, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        plan_of(draft_of(**flags), time.monotonic())
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value).replace("402", "400")


@pytest.mark.parametrize(
    "given",
    [
        {"num_heads": 6},
        {"num_heads": 3},
        {"embedding_dim": 300},
        {"embedding_dim": 90, "num_blocks": 1},
        {"num_kv_heads": 3},
        {"embedding_dim": 100, "num_heads": 3, "head_dim": 32},
        {"embedding_dim": 99, "num_heads": 3, "positions": "learned"},
        {"embedding_dim": 512, "num_heads": 8, "num_blocks": 2},
    ],
    ids=str,
)
@pytest.mark.parametrize("asks", ["a plan", "an outlook"])
def test_all_that_a_model_can_have_may_be_given(draft_of, given, asks):
    draft = draft_of(**given)
    if asks == "an outlook":
        assert outlook(draft, time.monotonic())
        return
    config = plan_of(draft, time.monotonic()).entries[0].config
    assert {key: getattr(config, key) for key in given} == given
    assert config.family_settings()


@pytest.mark.parametrize(
    "given",
    [{}, {"val_max_tokens": 300}, {"token_files_from_mb": 0.001, "val_max_tokens": 300}],
    ids=str,
)
def test_the_last_score_is_expected_to_read_what_it_will_read(draft_of, tmp_path, given):
    """Of a long text it reads a part, or a plan for few minutes would find no time for it."""
    draft = draft_of(cache_dir=tmp_path / "cache", **given)
    planner = make_planner(draft)
    config = plan_of(draft, time.monotonic()).entries[0].config
    expected = build_task(config, task_of(config.model).read(config)).score_tokens
    assert planner.facts.score_tokens == expected
    assert (expected < 1000) == bool(given)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"num_heads": 7}, ["num_heads 7", "auto"]),
        ({"num_heads": 7, "embedding_dim": 64}, ["embedding_dim=64", "num_heads=7"]),
        ({"batch_size": 10**7}, ["batch_size 10000000", "GB are free"]),
    ],
    ids=str,
)
def test_what_leaves_no_plan_is_refused_before_anything_is_timed(
    draft_of, monkeypatch, given, words
):
    monkeypatch.setattr(texts, "timed_steps", None)
    with pytest.raises(UserError) as caught:
        plan_of(draft_of(**given), time.monotonic())
    assert all(word in str(caught.value) for word in words)


def test_a_model_without_blocks_is_not_planned(tmp_path):
    keys = "batch_size epochs lr data_path block_size num_heads embedding_dim num_blocks".split()
    values = dict.fromkeys(keys, "1") | {"num_workers": "0", "model": "bigram", "max_steps": "5"}
    values |= {"data_path": "text.txt", "lr": "auto", "embedding_dim": "2"}
    lines = [f"{key}: {value}\n" for key, value in values.items()]
    (tmp_path / "mine.yaml").write_text("".join(lines), encoding="utf-8")
    with pytest.raises(UserError, match="lr: auto is for transformers, and model is bigram: give"):
        plan_of(read_draft(tmp_path / "mine.yaml"), time.monotonic())


def test_a_short_text_gets_a_context_that_its_validation_split_has_room_for(draft_of, tmp_path):
    (tmp_path / "short.txt").write_text("to be or not " * 160, encoding="utf-8")
    (entry,), *_ = plan_of(draft_of(data_path="short.txt"), time.monotonic())
    assert entry.config.block_size < 0.1 * 2080


@pytest.mark.parametrize(
    ("pieces_from", "flags", "expected"),
    [
        (10**6, {}, "characters"),
        (1000, {}, "bpe"),
        (10**6, {"vocab_size": 300}, "bpe"),
        (1000, {"tokenizer": "bytes"}, "bytes"),
    ],
)
def test_a_long_text_gets_pieces(draft_of, monkeypatch, pieces_from, flags, expected):
    monkeypatch.setattr(texts, "PIECES_FROM", pieces_from)
    entries, text, _ = plan_of(draft_of(**{"tokenizer": "auto"} | flags), time.monotonic())
    assert entries[0].config.tokenizer == expected
    assert entries[0].config.vocab_size == flags.get("vocab_size", "auto")
    assert ("tokenizer" in text) == ("tokenizer" not in flags)


def test_the_learning_rate_is_that_of_the_optimizer(draft_of):
    plans = [
        plan_of(draft_of(optimizer=name), time.monotonic()).entries for name in ("muon", "adamw")
    ]
    rates = [entries[0].config.lr for entries in plans]
    assert rates == [0.01, 0.001]


def test_only_train_py_plans():
    auto = Path(__file__).parents[3] / "configs" / "auto.yaml"
    with pytest.raises(UserError, match=r"auto\.yaml:\d+: .*only train\.py plans auto"):
        load_config(auto)


@pytest.mark.parametrize("asks", [outlook, lambda draft, _: suggestions(draft, "text.txt", {})])
def test_what_any_number_of_minutes_would_bring_is_measured_for_all_of_them(
    draft_of, monkeypatch, asks
):
    asked = []

    def timed(config, data):
        asked.append(config.max_minutes)
        return texts_timed(config, data)

    texts_timed = texts.timed_steps
    monkeypatch.setattr(texts, "timed_steps", timed)
    asks(draft_of(max_minutes=1), time.monotonic())
    assert asked == [None]
    plan_of(draft_of(max_minutes=1), time.monotonic())
    assert asked == [None, 1]


def test_no_pilot_is_trained_for_a_plan_that_expects_no_loss(draft_of, monkeypatch):
    monkeypatch.setattr(texts, "promised_loss", None)
    assert "expected" not in plan_of(draft_of(tokenizer="bytes"), time.monotonic()).text
