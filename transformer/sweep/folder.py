"""A sweep's folder: its plan, its runs, and the runs that failed. No torch.

sweep.yaml       the plan
failures.json    the names of trials that failed, with the reasons
TRIAL/version_0  an ordinary run
TRIAL/output.log what the run has printed
"""

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from os.path import isfile
from pathlib import Path
from typing import Any

from transformer.storage.run_folder import CONFIG, LAST, PREVIOUS, SUMMARY
from transformer.storage.run_lock import Holder, holder_of
from transformer.sweep.failures import FAILURES, read_failures
from transformer.sweep.plan import Plan
from transformer.sweep.registry import search_of
from transformer.sweep.results import Results
from transformer.sweep.trial import Result, Trial
from transformer.system.files import write_text

LOG = Path("output.log")


class SweepFolder:
    """Reads and writes what is known of the trials of a plan."""

    def __init__(self, path: Path, plan: Plan) -> None:
        """Raises: UserError for a damaged file of failures."""
        self.path = path
        self.plan = plan
        self.failures = read_failures(path)

    def result_of(self, trial: Trial) -> Result | None:
        """None for a trial that has not ended."""
        run = self.run_of(trial)
        if (error := self.failures.get(trial.name)) is not None:
            return Result(trial, run, None, _summary(run), error)
        summary = _summary(run)
        if not summary:
            return None
        loss = summary.get(self.plan.metric)
        if not isinstance(loss, int | float):
            return Result(trial, run, None, summary, f"its summary.json has no {self.plan.metric}")
        if not math.isfinite(loss):
            return Result(trial, run, None, summary, f"its {self.plan.metric} is {loss}")
        return Result(trial, run, float(loss), summary, None)

    def results(self) -> Results:
        return Results(search_of(self.plan), self.result_of)

    def run_of(self, trial: Trial) -> Path | None:
        """The folder of the trial's run, if it has begun: later versions are copies of it."""
        runs = [run for run in (self.path / trial.name).glob("version_*") if run.is_dir()]
        numbered = [run for run in runs if run.name[8:].isdecimal()]
        return min(numbered, key=lambda run: int(run.name[8:]), default=None)

    def holder_of(self, trial: Trial) -> Holder | None:
        """The process that trains the trial: one of a sweep that was killed a moment ago."""
        run = self.run_of(trial)
        return None if run is None else holder_of(run)

    def log_of(self, trial: Trial) -> Path:
        return self.path / trial.name / LOG

    def checkpoints_of(self, trial: Trial) -> Sequence[Path]:
        """Where the trial's run goes on, the newest first.

        A run that ended before its first checkpoint leaves nothing: its folder is removed. No
        process may be training it.
        """
        run = self.run_of(trial)
        if run is None:
            return ()
        found = [run / name for name in (LAST, PREVIOUS) if isfile(run / name)]
        if found and isfile(run / CONFIG):
            return found
        shutil.rmtree(run)
        return ()

    def keep_failure(self, trial: Trial, reason: str) -> None:
        self.failures[trial.name] = reason
        self._write_failures()

    def forget_failures(self) -> None:
        """So that these trials are tried again; a run that ended without a loss, from its start."""
        ended = [one for one in self.results().ended() if one.loss is None and one.summary]
        for one in ended:
            if one.run is not None and one.trial.name not in self.failures:
                shutil.rmtree(one.run)
        self.failures.clear()
        self._write_failures()

    def _write_failures(self) -> None:
        text = json.dumps(self.failures, indent=2, ensure_ascii=False)
        write_text(self.path / FAILURES, text + "\n")


def _summary(run: Path | None) -> Mapping[str, Any]:
    """Empty for a run that has not ended."""
    try:
        found = json.loads((run / SUMMARY).read_text(encoding="utf-8")) if run else {}
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
