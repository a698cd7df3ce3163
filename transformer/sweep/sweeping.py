"""Trains the runs of a sweep, some at a time, until its search allows no more. No torch."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from transformer.config.keys import Config
from transformer.config.run_files import load_run_config
from transformer.storage.run_folder import CONFIG, run_of
from transformer.sweep.folder import SweepFolder
from transformer.sweep.gpus import variables_of
from transformer.sweep.processes import Worker, wait_for_some
from transformer.sweep.trial import Result, Trial, in_words
from transformer.sweep.worker import SECONDS_TO_SAVE, Job
from transformer.system.cores import threads_of_each
from transformer.system.errors import UserError
from transformer.system.signals import Signals

_SECONDS = 0.2  # between two looks at the signals


class Sweep:
    """Trains what is left of a sweep.

    A run at a time trains at each of the `places`: on a CUDA device, or None for no device of its
    own. `report` gets a line for each run that has ended.
    """

    def __init__(
        self,
        folder: SweepFolder,
        places: Sequence[str | None],
        command: Sequence[str],
        report: Callable[[str], None],
        start: Callable[[Trial, str | None, Job], Worker] = Worker,
    ) -> None:
        self._folder = folder
        self._places = places
        self._command = command
        self._report = report
        self._start = start
        self._results = folder.results()
        self._workers: list[Worker] = []
        self._held: dict[str, float] = {}  # trials that another process trains, and since when
        self._signals = Signals()
        self._asked_to_stop = False

    def run(self) -> list[Result]:
        """The results of all trials, in the order of the search.

        A signal makes the runs save their state, and end.

        Raises: Interrupted when they have; UserError if another process keeps one of the runs.
        """
        with self._signals.heard():
            try:
                while not self._signals.received and self._is_going_on():
                    self._wait()
            finally:  # also after an error, such as a full disk
                self._stop()
            self._signals.check()
        return self._results.ended()

    @property
    def _stops(self) -> bool:
        return self._asked_to_stop or bool(self._signals.received)

    def _is_going_on(self) -> bool:
        self._begin()
        return bool(self._workers or self._held)

    def _wait(self) -> None:
        if self._workers:
            self._conclude(wait_for_some(self._workers, _SECONDS))
        else:
            time.sleep(_SECONDS)

    def _stop(self) -> None:
        self._asked_to_stop = True
        for worker in self._workers:
            worker.ask_to_stop()
        while self._workers:
            self._wait()

    def _in_work(self) -> set[str]:
        return {worker.trial.name for worker in self._workers}

    def _begin(self) -> None:
        """Starts trials until each place has one."""
        free = list(self._places)
        for worker in self._workers:
            free.remove(worker.place)
        while free and (trial := self._next()) is not None:
            checkpoints = self._folder.checkpoints_of(trial)
            try:
                job = self._job(trial, checkpoints, free[0])
            except UserError as error:
                self._fail(trial, str(error), 0.0)
            else:
                self._workers.append(self._start(trial, free.pop(0), job))

    def _next(self) -> Trial | None:
        """The first trial that can begin."""
        for trial in self._results.left(self._in_work()):
            if not self._is_held(trial):
                return trial
        return None

    def _is_held(self, trial: Trial) -> bool:
        """Whether another process trains it, such as one whose sweep was killed a moment ago.

        Raises: UserError if it does so for a long time.
        """
        holder = self._folder.holder_of(trial)
        if holder is None:
            if self._held.pop(trial.name, None) is not None:
                self._results.note(trial)
            return trial.name in self._results.by_name
        if trial.name not in self._held:
            self._held[trial.name] = time.monotonic()
            self._report(f"{trial.name}: waiting for {holder} which still trains it")
        elif time.monotonic() - self._held[trial.name] > SECONDS_TO_SAVE:
            raise UserError(f"{trial.name}: {holder} is training it: stop it, or wait for its end")
        return True

    def _job(self, trial: Trial, checkpoints: Sequence[Path], place: str | None) -> Job:
        folder, plan = self._folder, self._folder.plan
        if checkpoints:  # with the choices that the run has made, such as its number format
            config = load_run_config(run_of(checkpoints[0]) / CONFIG)
        else:
            config = plan.config(trial.settings, trial.limit, seed=trial.seed)
        changes = {"runs_dir": str(folder.path), "run_name": trial.name}
        config = config.model_copy(update=changes | self._hardware(config, place))
        log = folder.log_of(trial)
        return Job(config, checkpoints, log, variables_of(place), self._command)

    def _hardware(self, config: Config, place: str | None) -> dict[str, object]:
        changes: dict[str, object] = {} if place is None else {"accelerator": "cuda"}
        number = len(self._places)
        if number > 1 and config.num_threads == "auto":  # they share the cores
            changes["num_threads"] = threads_of_each(number)
        return changes

    def _conclude(self, workers: Sequence[Worker]) -> None:
        for worker in workers:
            self._workers.remove(worker)
            reason = worker.join()
            if self._results.note(worker.trial):
                self._tell(worker.trial, worker.elapsed_seconds)
            elif not self._stops:
                why = reason or "its process ended without a result"
                self._fail(worker.trial, why, worker.elapsed_seconds)

    def _fail(self, trial: Trial, reason: str, seconds: float) -> None:
        self._folder.keep_failure(trial, reason)
        self._results.note(trial)
        self._tell(trial, seconds)

    def _tell(self, trial: Trial, seconds: float) -> None:
        result = self._results.by_name[trial.name]
        found = f"failed: {result.error}"
        if result.loss is not None:
            found = f"{self._folder.plan.metric} {result.loss:.4f}, {seconds:.0f} s"
        number, total = len(self._results.by_name), len(self._results.allowed(self._in_work()))
        what = f"{in_words(trial.settings)}, seed {trial.seed}"
        self._report(f"[{number} of {total}] {what}: {found}")
