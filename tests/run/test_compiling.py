"""Whether `compile: auto` of a CPU run pays: by given times, and by a trial with the model."""

import logging
import os

import pytest
import torch

from transformer.config.files import load_config
from transformer.run import compile_choice, compiling
from transformer.run.compile_choice import AGAIN, decide, settle_compile
from transformer.run.compiling import COMPILED, COST, WITHOUT, Trial
from transformer.run.preparation import prepare
from transformer.system.speed import WORTH_CHANGING
from transformer.tasks.registry import task_of

KEYS = """\
batch_size: 2
epochs: 1000
max_steps: 200
lr: 1e-3
data_path: corpus.txt
block_size: 8
num_heads: 2
embedding_dim: 16
num_blocks: 1
num_workers: 0
accelerator: cpu
precision: float32
attention: fused
num_threads: 1
cache_dir: cache
"""


@pytest.fixture
def config_of(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "corpus.txt").write_text("to be or not to be " * 40, encoding="utf-8")
    (tmp_path / "config.yaml").write_text(KEYS, encoding="utf-8")
    return lambda **changes: load_config(tmp_path / "config.yaml", changes)


@pytest.fixture
def tried(monkeypatch):
    """Each run is long enough to try; a trial gives these seconds, and is counted."""
    trials = []
    seconds = {WITHOUT: 2.0, COMPILED: 1.0, COST: 300.0}  # 100 again

    def compiled(trial):
        trials.append(trial)
        return seconds

    monkeypatch.setattr(compile_choice, "TRIAL_SECONDS", 0.0)
    monkeypatch.setattr(compile_choice, "has_compiler", lambda kind: True)
    monkeypatch.setattr(Trial, "compiled", compiled)
    monkeypatch.setattr(Trial, "seconds_of_compiling", lambda *_: 100.0)
    monkeypatch.setattr(
        compile_choice, "compile_model", lambda model, _: model.compile(backend="eager")
    )
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
    """A third of the trial's 300 s promised 100 s; 60 s turned out, so that shorter runs pay."""
    trials, _ = tried
    timed = []
    monkeypatch.setattr(Trial, "seconds_of_compiling", lambda *_: timed.append(1) or 60.0)
    pays = [prepared(config_of(max_steps=n)).config.compile for n in (200, 90, 200, 90, 55, 200)]
    assert pays == [True, False, True, True, False, True]
    assert (len(trials), len(timed)) == (1, 1)


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


@pytest.mark.parametrize("problem", ["none", "read-only", "a file"])
def test_compiled_code_goes_to_a_folder_that_can_be_written(
    make_gpt, tmp_path, monkeypatch, problem
):
    """Otherwise torch's own, or the run would end in its first step."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")  # so that it is as before afterwards
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    folder = tmp_path / "compiled"
    folder.touch() if problem == "a file" else folder.mkdir()
    if problem == "read-only":  # not by its permissions, which do not bind root

        def refuse(**_):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(compiling, "TemporaryFile", refuse)
    compiling.compile_model(make_gpt(), str(tmp_path))
    is_used = os.environ.get("TORCHINDUCTOR_CACHE_DIR") == str(folder)
    assert is_used == (problem == "none")
    assert problem == "a file" or list(folder.iterdir()) == []


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
    monkeypatch.setattr(compile_choice, "TRIAL_SECONDS", 30.0)
    assert prepared(config_of()).config.compile is False
    assert trials == []


@pytest.mark.parametrize(("share", "pays"), [(0.3, True), (0.9, False)], ids=str)
def test_a_run_whose_steps_are_matrix_products_tries_nothing(
    config_of, tried, monkeypatch, share, pays
):
    """Of 100 s, half of 70 s might be saved, or half of 10 s."""
    trials, _ = tried
    monkeypatch.setattr(compile_choice, "TRIAL_SECONDS", 30.0)
    monkeypatch.setattr(Trial, "seconds_of_a_step", lambda trial: 0.5)
    monkeypatch.setattr(Trial, "seconds_of_products", lambda trial: 0.5 * share)
    prepared(config_of(max_steps=200))
    assert bool(trials) == pays


def test_a_repeat_of_a_run_too_short_to_try_times_nothing_and_chooses_alike(
    config_of, tried, monkeypatch
):
    asked = []
    monkeypatch.setattr(compile_choice, "TRIAL_SECONDS", 30.0)
    monkeypatch.setattr(Trial, "seconds_of_a_step", lambda trial: asked.append(trial) or 0.5)
    monkeypatch.setattr(Trial, "seconds_of_products", lambda trial: 0.45)
    for _ in range(2):
        assert prepared(config_of(max_steps=200)).config.compile is False
    assert len(asked) == 1


@pytest.mark.parametrize("attention", ["fused", "explicit"])
def test_products_take_a_part_of_a_step(config_of, attention):
    parts = prepared(config_of(embedding_dim=64, attention=attention), try_compiling=False)
    trial = Trial(parts.config, parts.module, parts.task)
    step = trial.seconds_of_a_step()
    shares = sorted(trial.seconds_of_products() / step for _ in range(5))
    assert 0.03 < shares[2] < 1


def test_time_counts_where_no_step_ends_the_run(config_of, tried):
    endless = {"max_steps": None, "epochs": None}
    assert prepared(config_of(**endless, max_minutes=3)).config.compile is False  # saves 90 s
    assert prepared(config_of(**endless, max_minutes=4)).config.compile is True


@pytest.mark.parametrize("problem", ["none is there", "it fails"])
def test_without_a_compiler_that_works_the_run_goes_on(
    config_of, tried, monkeypatch, caplog, problem
):
    caplog.set_level(logging.INFO)

    def fail(trial):
        trial.module.model.compile(backend="eager")
        raise RuntimeError("g++: cannot find omp.h")

    monkeypatch.setattr(compile_choice, "has_compiler", lambda kind: problem != "none is there")
    monkeypatch.setattr(Trial, "compiled", fail)
    parts = prepared(config_of())
    assert (parts.config.compile, is_compiled(parts)) == (False, False)
    wanted = "no compiler was found" if problem == "none is there" else "failed (RuntimeError)"
    assert any(wanted in message for message in caplog.messages)


def test_a_trial_leaves_no_trace(config_of):
    parts = prepared(config_of(dropout=0.3), try_compiling=False)
    model = parts.module.model
    before = torch.get_rng_state(), {k: v.clone() for k, v in model.state_dict().items()}
    Trial(parts.config, parts.module, parts.task).seconds_of_a_step()
    assert torch.equal(torch.get_rng_state(), before[0])
    assert all(torch.equal(v, before[1][k]) for k, v in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_folder_that_cannot_be_used_costs_a_trial_and_a_line(config_of, tried, tmp_path, caplog):
    trials, _ = tried
    caplog.set_level(logging.INFO)
    (tmp_path / "cache").write_text("a file", encoding="utf-8")
    for _ in range(2):
        assert prepared(config_of()).config.compile is True
    assert len(trials) == 2
    assert any("cannot be used" in message for message in caplog.messages)


@pytest.mark.parametrize("compiled", [True, False])
def test_the_mode_of_repeatable_sums_ends_with_its_block(config_of, compiled):
    settings = torch.utils.deterministic
    fills = settings.fill_uninitialized_memory
    with compiling.repeatable(config_of(compile=compiled)):
        assert torch.are_deterministic_algorithms_enabled() == compiled
    assert not torch.are_deterministic_algorithms_enabled()
    assert settings.fill_uninitialized_memory == fills
