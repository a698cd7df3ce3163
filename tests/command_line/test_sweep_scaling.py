"""`sweep.py --scaling` as a user gives it."""

import json
import shutil
from pathlib import Path

import pytest

import sweep
from transformer.system.errors import UserError

CONFIGS = Path(__file__).parents[2] / "configs"
BAD = [
    ("--vary lr=1e-3,1e-2", "--vary"),
    ("--runs 5", "--runs does not go with --scaling"),
    ("--search random", "--search does not go with --scaling"),
    ("--embedding_dim 64", "leave out --embedding_dim"),
    (f"--config {CONFIGS / 'bigram.yaml'}", "got model bigram: give model gpt"),
    (
        f"--config {CONFIGS / 'g2p.yaml'}",
        "got model encoder_decoder: leave it out, and com",
    ),
    ("--minutes 5 --max_steps 100", "--max_steps does not go with --minutes"),
]


@pytest.mark.parametrize(("flags", "message"), BAD)
def test_what_no_scaling_law_can_be_asked_of_is_one_line(flags, message, tmp_path):
    with pytest.raises(UserError, match=message):
        sweep.main(f"--scaling --sweeps_dir {tmp_path}/sweeps {flags}".split())
    assert not (tmp_path / "sweeps").exists()


def test_too_few_steps_are_one_line_with_the_way_out(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("the quick brown fox jumps over the lazy dog\n" * 200, encoding="utf-8")
    flags = f"--data_path {text} --cache_dir {tmp_path}/cache --max_steps 50"
    with pytest.raises(UserError, match=r"give a larger --max_steps"):
        sweep.main(f"--scaling --sweeps_dir {tmp_path}/sweeps {flags}".split())
    assert not (tmp_path / "sweeps").exists()


@pytest.mark.slow(seconds=60)
def test_it_predicts_a_loss_and_goes_on_after_a_kill(run, tmp_path, write_inputs):
    write_inputs(tmp_path)
    flags = "--config tiny.yaml --batch_size 32 --max_steps 2200".split()
    whole = run("sweep.py", "--scaling", *flags, "--json", cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr
    facts = json.loads(whole.stdout)
    losses = [size["val_loss"] for size in facts["sizes"]]
    low, high = facts["predicted"]["interval"]
    assert len(losses) == 5
    assert low < facts["predicted"]["val_loss"] < high
    folder = tmp_path / "sweeps" / "tiny-scaling"
    assert (folder / "sweep.png").stat().st_size > 10_000
    (ended,) = folder.glob(f"{facts['sizes'][2]['size']}_seed-0")
    shutil.rmtree(ended)
    again = run("sweep.py", "--resume", folder, "--json", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert [size["val_loss"] for size in json.loads(again.stdout)["sizes"]] == losses
