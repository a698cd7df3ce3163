"""From a draft and a text to a plan and its words; the times of steps are given."""

import math
import re
import time
from pathlib import Path

import pytest

from transformer.config.drafts import read_draft
from transformer.config.files import load_config
from transformer.run.assembly import build_task
from transformer.run.planning import pilot, texts
from transformer.run.planning.law import LAW, PILOT_TOKENS
from transformer.run.planning.planned import outlook, plan_of
from transformer.run.planning.steps import (
    Compiling,
    StepSeconds,
    compiled_seconds,
    products_share,
    sized,
    timed_steps,
)
from transformer.run.planning.suggestions import suggestions
from transformer.run.settling import settle
from transformer.system import speed
from transformer.system.errors import UserError
from transformer.tasks.registry import task_of

AUTO = Path(__file__).parents[3] / "configs" / "auto.yaml"
SECONDS = {(64, 2): 0.03, (128, 1): 0.05, (128, 2): 0.08, (256, 1): 0.13, (256, 2): 0.24}


@pytest.fixture
def draft_of(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(texts, "timed_steps", lambda config, data: StepSeconds(SECONDS))
    monkeypatch.setattr(texts, "pilot_loss", lambda config, data: 1.9)
    words = "to be or not to be that is the question whether it is nobler in the mind".split()
    text = " ".join(words[n * n % len(words)] for n in range(3000))
    (tmp_path / "text.txt").write_text(text, encoding="utf-8")

    def draft(**flags):
        return read_draft(AUTO, {"data_path": "text.txt", "accelerator": "cpu"} | flags)

    return draft


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
    monkeypatch.setattr(texts, "pilot_loss", lambda config, data: 9.0)
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
    monkeypatch.setattr(texts, "pilot_loss", lambda config, data: 9.0)
    assert plan_of(draft_of(), time.monotonic()).entries[0].config == usual


def test_steps_need_no_clock_and_give_the_same_plan_again(draft_of, monkeypatch):
    monkeypatch.setattr(texts, "timed_steps", None)
    monkeypatch.setattr(texts, "pilot_loss", None)
    draft = draft_of(max_steps=200)
    (entry,), text, _ = plan_of(draft, time.monotonic())
    (again,), text_again, _ = plan_of(draft, time.monotonic())
    assert (entry.config, text) == (again.config, text_again)
    assert entry.config.max_steps == 200
    assert "expected" not in text


def test_the_outlook_has_a_row_for_each_time(draft_of):
    rows = outlook(draft_of(), time.monotonic()).splitlines()
    assert [row.split()[0] for row in rows[2:]] == ["1", "3", "10", "30", "120"]


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


@pytest.mark.parametrize("characters", [2_000, 20_000, 60_000, 200_000])
def test_pilots_read_a_text_a_few_times_and_count_as_those_of_a_long_text(
    draft_of, tmp_path, monkeypatch, characters
):
    """This text is learned as the law says, so that pilots of any length promise the same."""
    made = []

    def trained(config, data, steps):
        seen = steps * config.batch_size * config.block_size
        made.append(seen)
        return 1.0 + LAW.tokens * (seen / 1e6) ** -LAW.tokens_power

    monkeypatch.setattr(pilot, "_trained", trained)
    (tmp_path / "text.txt").write_text("abc " * (characters // 4), encoding="utf-8")
    config = draft_of(num_threads=1, cache_dir=str(tmp_path)).base(lr=0.01, block_size=16)
    data = task_of("gpt").read(config)
    other = config.model_copy(update={"seed": 7})
    losses = [pilot.pilot_loss(config, data), pilot.pilot_loss(other, data)]
    half, whole = made  # once; the second time they are remembered, for another seed, too
    assert 2 * half == whole
    assert whole <= max(pilot.MOST_PASSES * len(data.train), pilot.LEAST_STEPS * 12 * 16)
    assert (whole == PILOT_TOKENS) is (characters == 200_000)
    power = -LAW.tokens_power
    of_long = [1.0 + LAW.tokens * (n / 1e6) ** power for n in (PILOT_TOKENS // 2, PILOT_TOKENS)]
    promised = of_long[1] - LAW.pilot_gain * (of_long[0] - of_long[1])
    assert losses == pytest.approx([promised] * 2)


def test_a_short_plan_trains_shorter_pilots_unless_longer_ones_are_known(
    draft_of, tmp_path, monkeypatch
):
    made = []

    def trained(config, data, steps):
        made.append(steps)
        return 2.5 - 1e-3 * steps

    monkeypatch.setattr(pilot, "_trained", trained)
    (tmp_path / "text.txt").write_text("abc " * 100_000, encoding="utf-8")
    keys = {"num_threads": 1, "cache_dir": str(tmp_path)}
    config = draft_of(**keys).base(lr=0.01, block_size=128)
    data = task_of("gpt").read(config)
    for minutes in (1.0, 1.0, 3.0, 30.0, 1.0, None):
        pilot.pilot_loss(config.model_copy(update={"max_minutes": minutes}), data)
    assert made == [33, 66, 100, 200]


def test_only_train_py_plans(tmp_path):
    with pytest.raises(UserError, match=r"auto\.yaml:\d+: .*only train\.py plans auto"):
        load_config(AUTO)


def test_steps_are_timed_once_and_remembered(draft_of, tmp_path, monkeypatch):
    monkeypatch.setattr(speed, "cores_are_free", lambda: True)
    monkeypatch.setattr("transformer.run.planning.steps.cores_are_free", lambda: True)
    monkeypatch.setattr("transformer.run.planning.steps.TIMED", ((64, 2), (128, 1), (128, 2)))
    keys = {"block_size": 8, "batch_size": 2, "num_threads": 1, "max_minutes": 1}
    config = draft_of(**keys).base(lr=0.01)
    config = settle(config.model_copy(update={"cache_dir": str(tmp_path / "cache")}))
    data = task_of("gpt").read(config)
    times = timed_steps(config, data)
    assert times.seconds.keys() == {(64, 2), (128, 1), (128, 2)}
    assert all(seconds > 0 for seconds in times.seconds.values())
    assert times.dropout_cost >= 1
    monkeypatch.setattr("transformer.run.planning.steps.seconds_of_a_step", None)
    again = timed_steps(config, data)
    assert (again.seconds, again.dropout_cost) == (times.seconds, times.dropout_cost)
    assert times.compiling is again.compiling is None  # not worth the time of so short a plan


@pytest.mark.slow
def test_compiling_is_tried_once_and_remembered_for_short_plans_too(
    draft_of, tmp_path, monkeypatch
):
    monkeypatch.setattr(speed, "cores_are_free", lambda: True)
    monkeypatch.setattr("transformer.run.planning.steps.cores_are_free", lambda: True)
    monkeypatch.setattr("transformer.run.planning.steps.TIMED", ((64, 1), (64, 2), (128, 2)))
    monkeypatch.setattr("transformer.run.planning.steps.COMPILED", (64, 1))
    config = draft_of(block_size=8, batch_size=2, num_threads=1).base(lr=0.01)
    config = settle(config.model_copy(update={"cache_dir": str(tmp_path / "cache")}))
    data = task_of("gpt").read(config)
    first = timed_steps(config, data).compiling
    assert first is not None
    assert first.gain > 0
    assert first.block_seconds > 0
    monkeypatch.setattr("transformer.run.planning.steps.compiled_seconds", None)
    assert timed_steps(config.model_copy(update={"max_minutes": 1.0}), data).compiling == first
    assert timed_steps(config.model_copy(update={"compile": False}), data).compiling is None


@pytest.mark.parametrize(
    ("minutes", "share", "asked"),
    [(0.9, 0.0, False), (2.0, 0.4, True), (2.0, 0.6, False), (10.0, 0.85, True)],
)
def test_a_plan_that_may_save_enough_asks_what_compiling_brings(
    draft_of, tmp_path, monkeypatch, minutes, share, asked
):
    """Half of the time outside of products: of 120 s, 36 s or 24 s."""
    steps = "transformer.run.planning.steps"
    monkeypatch.setattr(f"{steps}.TIMED", ((64, 1), (64, 2), (128, 2)))
    monkeypatch.setattr(f"{steps}.COMPILED", (64, 1))
    monkeypatch.setattr(f"{steps}.seconds_of_a_step", lambda *_: 1.0)
    monkeypatch.setattr(f"{steps}.products_share", lambda *_: share)
    monkeypatch.setattr(f"{steps}.compiled_seconds", lambda *_: {"a step": 0.5, "compiling": 9.0})
    config = draft_of(block_size=8, batch_size=2, num_threads=1, max_minutes=minutes).base(lr=0.01)
    config = settle(config.model_copy(update={"cache_dir": str(tmp_path / "cache")}))
    compiling = timed_steps(config, task_of("gpt").read(config)).compiling
    assert compiling == (Compiling(2.0, 9.0) if asked else None)


def test_products_take_a_part_of_a_step(draft_of):
    config = settle(draft_of(block_size=8, batch_size=2, num_threads=1).base(lr=0.01))
    task = build_task(config, task_of("gpt").read(config))
    shares = sorted(products_share(sized(config, 64, 1), task) for _ in range(5))
    assert 0.03 < shares[2] < 1


def test_a_compiler_that_fails_leaves_the_plan_without(draft_of, monkeypatch):
    def fails(*_):
        raise RuntimeError

    monkeypatch.setattr("transformer.run.planning.steps.compile_model", fails)
    config = settle(draft_of(block_size=8, batch_size=2, num_threads=1).base(lr=0.01))
    task = build_task(config, task_of("gpt").read(config))
    assert compiled_seconds(config, task) is None
