"""Whether `compile: auto` of a CPU run pays: by given times, and by a trial with the model."""

import logging
from unittest.mock import Mock

import pytest
import torch

from transformer.run import compile_choice, compiling
from transformer.run.compile_choice import AGAIN, decide, settle_compile
from transformer.run.compiling import COMPILED, COST, WITHOUT, Trial
from transformer.run.preparation import prepare
from transformer.system import speed
from transformer.system.speed import WORTH_CHANGING
from transformer.tasks.registry import task_of
from transformer.training.estimates import ENDLESS_STEPS


def promise(monkeypatch, trial_seconds):
    for module in (compile_choice, compiling):
        monkeypatch.setattr(module, "TRIAL_SECONDS", trial_seconds)


@pytest.fixture
def tried(monkeypatch):
    """Each run is long enough to try; a trial gives these seconds, and is counted."""
    trials = []
    seconds = {WITHOUT: 2.0, COMPILED: 1.0, COST: 300.0}  # 100 again

    def compiled(trial):
        trials.append(trial)
        trial.module.model.compile(backend="eager")
        return seconds

    promise(monkeypatch, 0.0)
    monkeypatch.setattr(
        compile_choice, "compile_model", lambda model, _: model.compile(backend="eager")
    )
    monkeypatch.setattr(compile_choice, "has_compiler", lambda kind: True)
    monkeypatch.setattr(compile_choice, "cores_are_free", lambda: True)
    monkeypatch.setattr(Trial, "compiled", compiled)
    monkeypatch.setattr(Trial, "step", lambda *_, compiled=False: 1.0 if compiled else 2.0)
    monkeypatch.setattr(Trial, "seconds_of_compiling", lambda *_: 100.0)
    return trials, seconds


def prepared(config, **options):
    return prepare(config, task_of(config.model).read(config, build=True), **options)


def is_compiled(parts):
    return parts.module.model._compiled_call_impl is not None


@pytest.mark.parametrize("ratio", [0.5, 0.99, 1.01, WORTH_CHANGING, 1.5, 4.0])
@pytest.mark.parametrize("run_seconds", [1.0, 100.0, 10_000.0])
@pytest.mark.parametrize("cost", [1.0, 60.0])
def test_it_pays_if_the_run_saves_more_than_compiling_takes(ratio, run_seconds, cost):
    seconds = {WITHOUT: ratio, COMPILED: 1.0, COST: 1e9, AGAIN: cost}
    compiled_run = run_seconds / ratio + cost
    pays = compiled_run < run_seconds and ratio >= WORTH_CHANGING
    assert decide(seconds, run_seconds).name == ("true" if pays else "false")


@pytest.mark.parametrize(("steps", "pays"), [(200, True), (101, True), (100, False)], ids=str)
def test_what_a_trial_decides_is_recorded_said_and_remembered(
    config_of, tried, caplog, steps, pays
):
    trials, _ = tried
    caplog.set_level(logging.INFO)
    for _ in range(2):
        caplog.clear()
        parts = prepared(config_of(max_steps=steps, compile="auto"))
        assert parts.config.compile is pays
        assert parts.module.metadata["config"]["compile"] is pays
        assert is_compiled(parts) == pays
        why = "2.0 x as fast here, for 100 s of compiling" if pays else "would save 100 s here"
        assert any(
            message.startswith("compile: ") and why in message for message in caplog.messages
        )
    assert len(trials) == 1


def test_what_compiling_takes_again_is_timed_by_the_first_repeat(config_of, tried, monkeypatch):
    """A third of the trial's 300 s promised 100 s; 60 s turned out, so that shorter runs pay.

    But not one that was decided before: the same command chooses the same.
    """
    trials, _ = tried
    timed = []
    monkeypatch.setattr(Trial, "seconds_of_compiling", lambda *_: timed.append(1) or 60.0)
    numbers = (200, 90, 200, 90, 91, 55, 200)
    pays = [prepared(config_of(max_steps=number)).config.compile for number in numbers]
    assert pays == [True, False, True, False, True, False, True]
    assert (len(trials), len(timed)) == (1, 1)


def test_a_run_too_short_to_try_chooses_the_same_after_a_longer_one_has_tried(
    config_of, tried, monkeypatch
):
    """By the trial, compiling saves 140 s of 280 and takes 100; to try takes 150."""
    trials, _ = tried
    promise(monkeypatch, 150.0)
    monkeypatch.setattr(compiling, "TRIAL_SHARE", 1.0)
    numbers = (140, 400, 140, 139)
    pays = [prepared(config_of(max_steps=number)).config.compile for number in numbers]
    assert pays == [False, True, False, True]
    assert len(trials) == 1
    assert prepared(config_of(max_steps=140), try_compiling=False).config.compile is False


@pytest.mark.parametrize("is_free", [True, False])
@pytest.mark.parametrize("is_tried", [True, False])
def test_what_is_measured_beside_other_programs_counts_for_a_while_and_that_is_said(
    config_of, tried, monkeypatch, caplog, is_free, is_tried
):
    caplog.set_level(logging.INFO)
    trials, _ = tried
    promise(monkeypatch, 0.0 if is_tried else 50.0)
    monkeypatch.setattr(Trial, "seconds_of_products", lambda trial: 1.8)
    monkeypatch.setattr(compile_choice, "cores_are_free", lambda: is_free)
    for _ in range(2):
        caplog.clear()
        prepared(config_of())
        assert (compile_choice.UNSURE_NOTE in caplog.text) == (not is_free)
    assert len(trials) == is_tried
    monkeypatch.setattr(speed, "UNSURE_SECONDS", 0.0)
    prepared(config_of())
    assert len(trials) == (2 if is_tried and not is_free else is_tried)


def test_another_model_is_another_question(config_of, tried):
    trials, _ = tried
    for changes in ({}, {"num_blocks": 2}, {"batch_size": 3}, {"precision": "bf16"}, {}):
        prepared(config_of(**changes))
    assert len(trials) == 4


def test_a_step_with_other_work_is_another_question(config_of, tried):
    """An adapter's question is not that of the whole model, which has the same architecture."""
    trials, _ = tried
    parts = prepared(config_of(), try_compiling=False)
    auto = parts.config.model_copy(update={"compile": "auto"})
    adapter = {"lora_rank": 4, "base_precision": "float32", "lora_dropout": 0.0}
    other_work = [
        *({}, adapter, adapter | {"lora_rank": 2}, adapter | {"base_precision": "int8"}),
        *(adapter | {"lora_dropout": 0.1}, {"r_drop": 1.0}, {"label_smoothing": 0.1}),
    ]
    for changes in (*other_work, *other_work):
        settle_compile(auto.model_copy(update=changes), parts.module, parts.task, 200)
    assert len(trials) == len(other_work)


@pytest.mark.parametrize(
    "changes",
    [
        {"compile": False},
        {"max_steps": 49},
        {"devices": 2},
        {"model": "encoder_decoder", "data_path": "pairs.tsv"},
    ],
    ids=str,
)
def test_nothing_is_tried_where_nothing_is_to_choose(config_of, tried, tmp_path, changes):
    trials, _ = tried
    (tmp_path / "pairs.tsv").write_text("ab\tba\nabc\tcba\nbc\tcb\n" * 20, encoding="utf-8")
    parts = prepared(config_of(**changes))
    assert (parts.config.compile, is_compiled(parts), trials) == (False, False, [])


def test_a_short_run_and_an_estimate_try_nothing(config_of, tried, monkeypatch):
    trials, _ = tried
    assert prepared(config_of(), try_compiling=False).config.compile is False
    promise(monkeypatch, 300.0)
    assert prepared(config_of()).config.compile is False
    assert trials == []


@pytest.mark.parametrize(("share", "pays"), [(0.3, True), (0.9, False)], ids=str)
def test_a_run_whose_steps_are_matrix_products_tries_nothing(
    config_of, tried, monkeypatch, share, pays
):
    """Of 400 s, half of 280 s might be saved, or half of 40 s."""
    trials, _ = tried
    promise(monkeypatch, 30.0)
    monkeypatch.setattr(Trial, "seconds_of_products", lambda trial: 2.0 * share)
    prepared(config_of(max_steps=200))
    assert bool(trials) == pays


def test_a_repeat_of_a_run_too_short_to_try_times_nothing_and_chooses_alike(
    config_of, tried, monkeypatch
):
    asked = []
    promise(monkeypatch, 30.0)
    monkeypatch.setattr(Trial, "step", lambda trial: asked.append(trial) or 2.0)
    monkeypatch.setattr(Trial, "seconds_of_products", lambda trial: 1.8)
    for _ in range(2):
        assert prepared(config_of(max_steps=200)).config.compile is False
    assert len(asked) == compiling.TIMED_STEPS


@pytest.mark.parametrize("minutes", [1.0, 3.0, 10.0, 60.0])
@pytest.mark.parametrize("step_seconds", [0.01, 0.3, 2.0, 8.0, 25.0])
def test_a_trial_takes_a_small_part_of_its_run(config_of, monkeypatch, step_seconds, minutes):
    """Where one step takes more, it is the only one."""
    parts = prepared(config_of(), try_compiling=False)
    took, model = [], parts.module.model
    clock = Mock(perf_counter=lambda: sum(took))

    def step(*_):
        compiles = model._compiled_call_impl is not None and max(took) < compiling.TRIAL_SECONDS
        took.append(step_seconds + compiling.TRIAL_SECONDS * compiles)
        return torch.zeros((), requires_grad=True)

    monkeypatch.setattr(compiling, "time", clock)
    monkeypatch.setattr(compile_choice, "has_compiler", lambda kind: True)
    for module in (compile_choice, compiling):
        monkeypatch.setattr(
            module, "compile_model", lambda model, _: model.compile(backend="eager")
        )
    monkeypatch.setattr(parts.module, "training_step", step)
    auto = parts.config.model_copy(update={"compile": "auto", "max_minutes": minutes})
    settle_compile(auto, parts.module, parts.task, ENDLESS_STEPS)
    assert len(took) == 1 or sum(took) <= compiling.TRIAL_SHARE * 60 * minutes
    if minutes == 60 and step_seconds < 25:
        assert len(took) > 10  # so it was tried
    if step_seconds == 0.01:
        assert (len(took) > 10) == (minutes > 1)


def test_time_counts_where_no_step_ends_the_run(config_of, tried):
    endless = {"max_steps": None, "epochs": None}
    assert prepared(config_of(**endless, max_minutes=3)).config.compile is False  # saves 90 s
    assert prepared(config_of(**endless, max_minutes=4)).config.compile is True


def test_without_a_compiler_the_run_goes_on(config_of, tried, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(compile_choice, "has_compiler", lambda kind: False)
    parts = prepared(config_of())
    assert (parts.config.compile, is_compiled(parts)) == (False, False)
    assert any("no compiler was found" in message for message in caplog.messages)


@pytest.mark.parametrize("later", [True, False])
def test_a_compiler_that_fails_is_asked_again_later_and_the_run_goes_on(
    config_of, tried, monkeypatch, caplog, later
):
    """A disk may have room by then, or a compiler be mended."""
    caplog.set_level(logging.INFO)
    asked = []
    if later:
        monkeypatch.setattr(speed, "UNSURE_SECONDS", -1.0)

    def fail(trial):
        asked.append(trial)
        trial.module.model.compile(backend="eager")
        raise RuntimeError("g++: cannot find omp.h")

    monkeypatch.setattr(Trial, "compiled", fail)
    for wanted in ("failed (RuntimeError)", "failed (" if later else "failed here before"):
        caplog.clear()
        parts = prepared(config_of())
        assert (parts.config.compile, is_compiled(parts)) == (False, False)
        assert any(wanted in message for message in caplog.messages)
    assert len(asked) == (2 if later else 1)


@pytest.mark.parametrize("times", [1, 2])
def test_a_compiler_that_fails_after_it_was_tried_ends_no_run(
    config_of, tried, monkeypatch, caplog, times
):
    """As where the folder of compiled code cannot be read any more."""
    caplog.set_level(logging.INFO)
    for _ in range(times):
        assert is_compiled(prepared(config_of()))

    def fail(trial, *_, **__):
        raise RuntimeError("InductorError")

    monkeypatch.setattr(Trial, "step", fail)
    monkeypatch.setattr(Trial, "seconds_of_compiling", fail)
    parts = prepared(config_of())
    assert (parts.config.compile, is_compiled(parts)) == (False, False)
    assert any("failed (RuntimeError)" in message for message in caplog.messages)


def test_a_folder_that_cannot_be_used_costs_a_trial_and_a_line(config_of, tried, tmp_path, caplog):
    trials, _ = tried
    caplog.set_level(logging.INFO)
    (tmp_path / "cache").write_text("a file", encoding="utf-8")
    for _ in range(2):
        assert prepared(config_of()).config.compile is True
    assert len(trials) == 2
    assert any("cannot be used" in message for message in caplog.messages)
