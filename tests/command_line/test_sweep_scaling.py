"""`sweep.py --scaling` as a user gives it."""

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
    (f"--config {CONFIGS / 'bigram.yaml'}", "got model bigram"),
    (f"--config {CONFIGS / 'g2p.yaml'}", "got model encoder_decoder"),
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
