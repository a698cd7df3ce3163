"""A text of one's own, whose plans need no measurement."""

from pathlib import Path

import pytest

from transformer.config.drafts import read_draft
from transformer.run.planning import texts
from transformer.run.planning.steps import StepSeconds

AUTO = Path(__file__).parents[3] / "configs" / "auto.yaml"
SECONDS = {(64, 2): 0.03, (128, 1): 0.05, (128, 2): 0.08, (256, 1): 0.13, (256, 2): 0.24}


@pytest.fixture
def draft_of(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(texts, "timed_steps", lambda config, data: StepSeconds(SECONDS))
    monkeypatch.setattr(texts, "promised_loss", lambda config, data, seconds: 1.9)
    words = "to be or not to be that is the question whether it is nobler in the mind".split()
    text = " ".join(words[n * n % len(words)] for n in range(3000))
    (tmp_path / "text.txt").write_text(text, encoding="utf-8")

    def draft(**flags):
        return read_draft(AUTO, {"data_path": "text.txt", "accelerator": "cpu"} | flags)

    return draft
