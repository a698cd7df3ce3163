"""summary.json, which marks the end of a run, when the run goes on after it. No torch."""

import json
import os
from contextlib import suppress
from pathlib import Path

from transformer.storage.run_folder import SUMMARY


def summed_up_step(run: Path) -> int | None:
    """The step at which the summary was written; None without a summary."""
    try:
        return json.loads((run / SUMMARY).read_text(encoding="utf-8"))["step"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def set_aside_summary(run: Path) -> None:
    """Renames the summary, if there is one, to `summary-step-000070.json`.

    So a run that goes on after its end does not count as ended, and what it had reached is kept.
    """
    step = summed_up_step(run)
    name = f"summary-step-{step:06}.json" if isinstance(step, int) else "summary-damaged.json"
    with suppress(OSError):  # there is none; or it stays, and training matters more
        os.replace(run / SUMMARY, run / name)
