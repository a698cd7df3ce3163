"""A run that was stopped and resumed is the same run, bit for bit."""

import pytest
import torch

from transformer.run.comparison import differences
from transformer.run.verification import InterruptAfter
from transformer.storage.run_folder import LAST, SUMMARY
from transformer.system.errors import UserError

# Of the 70 steps of tiny.yaml: the first, one that logs, one that does neither, one that
# validates, one right after that, the last but one.
STOPS = (1, 10, 13, 30, 31, 69)
DROPOUT = {"dropout": 0.1}


@pytest.mark.parametrize(
    "changes",
    [
        DROPOUT,
        *(
            pytest.param(DROPOUT | others, marks=pytest.mark.slow)
            for others in (
                {"optimizer": "muon", "ngram_size": 2, "r_drop": 1, "token_shift": True},
                {"accumulate_grad_batches": 3, "batch_size": 2},
                {"epochs": 4, "stride": "block_size", "batch_size": 3},
                {"num_workers": 2},
            )
        ),
    ],
    ids=str,
)
def test_stops_anywhere_leave_no_trace(train_here, tmp_path, changes):
    whole = train_here(run_name="whole", **changes)
    folder = tmp_path / "runs" / "stopped" / "version_0"
    resume = {"run_name": "stopped", **changes}
    for stop in STOPS:
        with pytest.raises(SystemExit) as stopped:
            train_here(callbacks=[InterruptAfter(stop)], **resume)
        assert stopped.value.code == 130
        resume = {"config": str(folder / "config.yaml"), "resume": folder / LAST}
    train_here(**resume)
    assert differences(whole, folder) == []
    assert [path.name for path in folder.parent.iterdir()] == ["version_0"]


def test_a_run_killed_between_its_last_checkpoint_and_its_end_is_summed_up(train_here, summary_of):
    folder = train_here(max_steps=4)
    before = summary_of(folder)
    (folder / SUMMARY).unlink()
    train_here(str(folder / "config.yaml"), resume=folder / LAST)
    after = summary_of(folder)
    assert [after[key] for key in ("step", "best_step", "val_loss")] == [
        before[key] for key in ("step", "best_step", "val_loss")
    ]


def test_an_ended_run_that_is_resumed_has_ended_again_only_at_its_new_end(train_here, summary_of):
    folder = train_here(max_steps=4)
    ended = (folder / SUMMARY).read_bytes()
    config, last = str(folder / "config.yaml"), folder / LAST
    state = torch.load(last, weights_only=True)
    wrong = {"optimizer_states": [{"state": {}, "param_groups": []}]}
    torch.save(state | wrong, damaged := last.with_name("damaged.ckpt"))
    with pytest.raises(UserError, match="its training state does not fit"):
        train_here(config, resume=damaged, max_steps=9)
    assert (folder / SUMMARY).read_bytes() == ended  # no step was trained
    with pytest.raises(SystemExit):
        train_here(config, resume=last, max_steps=9, callbacks=[InterruptAfter(5)])
    assert not (folder / SUMMARY).exists()
    assert (folder / "summary-step-000004.json").read_bytes() == ended
    train_here(config, resume=last, max_steps=9)
    assert summary_of(folder)["step"] == 9


def test_the_comparison_sees_a_single_bit(train_here):
    runs = [
        train_here(run_name=name, dropout=0.1, seed=seed, max_steps=10)
        for name, seed in (("a", 0), ("b", 1))
    ]
    found = differences(*runs)
    assert {"weights", "optimizer", "random numbers", "train_loss", "val_loss"} <= set(found)
    assert differences(runs[0], runs[0]) == []


@pytest.mark.slow
def test_a_user_can_have_it_proved(run, tmp_path, write_inputs):
    write_inputs(tmp_path)
    result = run(
        "train.py", "--config", "tiny.yaml", "--dropout", "0.1", "--verify_resume", cwd=tmp_path
    )
    assert result.returncode == 0, result.stderr
    assert "bit-identical weights, moments, random numbers, data and curves" in result.stdout
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
@pytest.mark.long
def test_a_compiled_run_is_the_same_each_time_and_so_is_its_resumption(run, tmp_path):
    """Embeddings of a batch so large that two threads share the sums of their gradient."""
    (tmp_path / "text.txt").write_text("to be or not to be, that is " * 400, encoding="utf-8")
    sizes = {"batch_size": 12, "block_size": 128, "embedding_dim": 192, "num_blocks": 1}
    given = sizes | {"data_path": "text.txt", "num_threads": 2, "compile": "true"}
    flags = [part for key, value in given.items() for part in (f"--{key}", value)]
    stops = ("--max_steps", 20, "--val_every_steps", 10)
    folders = []
    for name in ("a", "b"):
        done = run(
            "train.py", *flags, *stops, "--run_name", name, cwd=tmp_path, OMP_NUM_THREADS="2"
        )
        assert done.returncode == 0, done.stderr
        folders.append(tmp_path / "runs" / name / "version_0")
    assert differences(*folders) == []
    done = run("train.py", *flags, "--verify_resume", cwd=tmp_path, OMP_NUM_THREADS="2")
    assert done.returncode == 0, done.stderr
