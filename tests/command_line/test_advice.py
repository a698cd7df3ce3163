"""Each piece of advice to a run that overfits leads to a lower val_loss."""

import pydoc_data.topics
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# default.yaml's recipe, smaller; many passes over ten pages of Python's own help.
SMALL = {"data_path": "text.txt", "batch_size": 24, "block_size": 32, "embedding_dim": 64}
SMALL |= {"num_heads": 4, "accelerator": "cpu", "precision": "float32"}
SMALL |= {"max_steps": 400, "val_every_steps": 20}


@pytest.mark.slow(seconds=60)  # four runs of 20 seconds
def test_each_rule_of_the_advice_gives_a_lower_val_loss(
    train_here, summary_of, tmp_path, capsys, monkeypatch
):
    from transformer.training.callbacks.showing import Shown

    monkeypatch.setattr(
        "transformer.tasks.text_run.TextRun.show", lambda self, model: Shown("", {}, {})
    )
    topics = pydoc_data.topics.topics
    text = "\n".join(topics[name] for name in sorted(topics))[:20_000]
    (tmp_path / "text.txt").write_text(text, encoding="utf-8", newline="\n")
    default = str(ROOT / "configs" / "default.yaml")
    overfitting = summary_of(train_here(default, **SMALL))
    said = capsys.readouterr().out
    start, _, end = said.partition("the run is in")
    assert re.search(r"passes over a small text: .*--max_steps \d+ .* or --dropout 0.2", said)
    advice = re.findall(r"--(max_steps|dropout) ([\d.]+)", start)
    advice += re.findall(r"--(max_steps|dropout) ([\d.]+)", end)
    assert [name for name, _ in advice] == ["max_steps", "dropout"] * 2, said
    for name, value in dict.fromkeys(advice):
        followed = summary_of(train_here(default, **SMALL | {name: value}))
        assert followed["val_loss"] < overfitting["val_loss"], f"--{name} {value}"


def test_tensorboard_says_that_a_sample_is_copied(train_here, monkeypatch):
    from transformer.tasks.text_run import TextRun

    monkeypatch.setattr(TextRun, "copied", lambda run, shown: 1234 if shown else 0)
    (events,) = train_here().glob("events.*")
    assert b"repeats 1234 characters in a row" in events.read_bytes()
