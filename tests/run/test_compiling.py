"""Compiled code and where it is kept, and a trial with a run's own steps."""

import os

import pytest
import torch
from torch._inductor.runtime.cache_dir_utils import default_cache_dir

from transformer.run import compiling
from transformer.run.compiling import Trial
from transformer.run.preparation import prepare
from transformer.tasks.registry import task_of


def prepared(config, **options):
    return prepare(config, task_of(config.model).read(config, build=True), **options)


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


@pytest.mark.parametrize("is_users", [True, False])
def test_the_folder_is_the_users_or_that_of_cache_dir_and_not_torchs(
    make_gpt, tmp_path, monkeypatch, is_users
):
    """torch names its own as soon as the products of a step are timed, before a trial compiles."""
    own = str(tmp_path / "own") if is_users else default_cache_dir()
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", own)
    compiling.compile_model(make_gpt(), str(tmp_path / "cache"))
    wanted = own if is_users else str(tmp_path / "cache" / "compiled")
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == wanted


@pytest.mark.parametrize("attention", ["fused", "explicit"])
def test_products_take_a_part_of_a_step(config_of, attention):
    parts = prepared(config_of(embedding_dim=64, attention=attention), try_compiling=False)
    trial = Trial(parts.config, parts.module, parts.task)
    step = min(trial.step() for _ in range(4))
    shares = sorted(trial.seconds_of_products() / step for _ in range(5))
    assert 0.03 < shares[2] < 1


def test_a_trial_leaves_no_trace(config_of):
    parts = prepared(config_of(dropout=0.3), try_compiling=False)
    model = parts.module.model
    before = torch.get_rng_state(), {k: v.clone() for k, v in model.state_dict().items()}
    Trial(parts.config, parts.module, parts.task).step()
    assert torch.equal(torch.get_rng_state(), before[0])
    assert all(torch.equal(v, before[1][k]) for k, v in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("compiled", [True, False])
def test_the_mode_of_repeatable_sums_ends_with_its_block(config_of, compiled):
    settings = torch.utils.deterministic
    fills = settings.fill_uninitialized_memory
    with compiling.repeatable(config_of(compile=compiled)):
        assert torch.are_deterministic_algorithms_enabled() == compiled
    assert not torch.are_deterministic_algorithms_enabled()
    assert settings.fill_uninitialized_memory == fills
