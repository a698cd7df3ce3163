"""Options that train badly together are named at a run's start, with the way out."""

import pytest

from transformer.config.data_keys import REQUIRED_KEYS
from transformer.config.keys import Config

KEYS = dict.fromkeys(REQUIRED_KEYS, 2) | {"data_path": "x"}
PAIRS = {"model": "encoder_decoder"}
POST_NORM = {"norm_first": False, "num_blocks": 6}


def doubts_of(**changes):
    config = Config(**KEYS | changes)
    return config.family_settings().doubts(config.warmup_steps)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        (PAIRS | {"positions": "none"}, ["positions: none", "--positions sinusoidal"]),
        (
            PAIRS | {"positions": "rotary", "embedding_dim": 4},
            ["positions: rotary", "--positions sinusoidal"],
        ),
        (POST_NORM | {"warmup_steps": 0}, ["norm_first: false", "--warmup_steps auto"]),
        (PAIRS | POST_NORM | {"warmup_steps": 0}, ["norm_first: false", "--norm_first true"]),
    ],
    ids=str,
)
def test_a_doubtful_combination_is_one_line_with_the_way_out(changes, named):
    (line,) = doubts_of(**changes)
    assert all(words in line for words in named)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"positions": "none"},
        {"positions": "rotary", "embedding_dim": 4},
        POST_NORM,
        PAIRS,
        {"warmup_steps": 0},
    ],
    ids=str,
)
def test_other_combinations_raise_no_doubt(changes):
    assert doubts_of(**changes) == []


def test_a_new_run_says_its_doubts_and_a_resumed_one_is_past_them(train_here, caplog):
    settings = POST_NORM | {"warmup_steps": 0, "max_steps": 2}
    folder = train_here(**settings)
    assert caplog.text.count("norm_first: false in 6 blocks learns") == 1
    caplog.clear()
    last = folder / "checkpoints" / "last.ckpt"
    train_here(str(folder / "config.yaml"), resume=last, max_steps=3)
    assert "norm_first: false in 6 blocks learns" not in caplog.text
