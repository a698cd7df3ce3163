"""Where curves also go, beside TensorBoard's events: metrics.csv, or Weights & Biases."""

import logging
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import CSVLogger, Logger, WandbLogger

from transformer.system.errors import UserError, in_one_line
from transformer.system.files import read_utf8, write_text
from transformer.system.processes import is_rank_0
from transformer.training.metrics_file import MetricsFile

METRICS = Path("metrics.csv")
WANDB_ID = Path("wandb_id.txt")  # so that a resumed run goes on with the same one
PROJECT = "transformer"  # on Weights & Biases, unless WANDB_PROJECT names another

log = logging.getLogger(__name__)


class RunCsv(CSVLogger):
    """Writes metrics.csv into a run's folder; config.yaml there replaces hparams.yaml.

    If it cannot be written (e.g. on a full disk), this warns once and tries again with later rows.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        super().__init__(str(folder), name="", version="")
        self._experiment: Any = None  # a MetricsFile
        self._folder, self._first_step = folder, first_step
        self._warned = False

    @property
    def experiment(self) -> Any:
        if self._experiment is None and is_rank_0():
            self._experiment = MetricsFile(self._folder / METRICS, self._first_step)
        return self._experiment

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Ignores the module's arguments, which Lightning passes."""

    def save(self) -> None:
        try:
            super().save()
        except OSError as error:
            if not self._warned:
                log.warning("%s: metrics.csv cannot be written (%s)", self._folder, error.strerror)
            self._warned = True


class RunWandb(WandbLogger):
    """Sends a run to Weights & Biases, with the keys of its config."""

    def __init__(self, folder: Path, keys: Mapping[str, Any]) -> None:
        """Raises: UserError if it cannot start, for example without an API key."""
        from wandb import Settings

        super().__init__(
            name="/".join(folder.parts[-2:]),
            save_dir=folder,
            id=_wandb_id(folder),
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            config=dict(keys),
            settings=Settings(console="off"),  # a run's own output stays as it is
        )
        try:
            _ = self.experiment
        except Exception as error:  # wandb's own errors have no common class
            reason = in_one_line(error)
            raise UserError(
                f"`logger=wandb`: Weights & Biases does not start ({reason}): run `wandb login`, "
                "set WANDB_MODE=offline, or give another `logger`"
            ) from None

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Ignores the module's arguments, which Lightning passes."""

    def finalize(self, status: str) -> None:
        """Ends it, so that another run in this process has its own."""
        super().finalize(status)
        if self._experiment is not None:
            self._experiment.finish(exit_code=int(status != "success"))
            self._experiment = None


def _wandb_id(folder: Path) -> str | None:
    if not is_rank_0():
        return None
    path = folder / WANDB_ID
    if not path.is_file():
        write_text(path, f"{secrets.token_hex(4)}\n")
    return read_utf8(path, "id of a run").strip()


_EXTRA: Mapping[str, Callable[[Path, int, Mapping[str, Any]], Logger]] = {
    "csv": lambda folder, first_step, _: RunCsv(folder, first_step),
    "wandb": lambda folder, _, keys: RunWandb(folder, keys),
}


def extra_loggers(
    name: str, folder: Path, first_step: int, keys: Mapping[str, Any]
) -> list[Logger]:
    """The loggers beside that of TensorBoard; none for the name `tensorboard`.

    A resumed run goes on after `first_step`. `keys` are those of its config.
    """
    return [_EXTRA[name](folder, first_step, keys)] if name in _EXTRA else []
