from typing import Any

import pytorch_lightning as pl

from transformer.training.lightning_internals import logs_now

Point = tuple[int, float]  # steps done, and a loss


class Curves(pl.Callback):
    """Keeps the losses of a run, over all resumes: train_loss as logged, val_loss as validated.

    A long curve is thinned: MOST points at most, the lowest among them.
    """

    MOST = 2000

    def __init__(self) -> None:
        self.train: list[Point] = []
        self.val: list[Point] = []

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any, **__: Any) -> None:
        """By now, the loss of the step before is logged."""
        if trainer.global_step and logs_now(trainer):
            self._keep(self.train, "train_loss", trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not self.train:  # too short a run for a regular logging
            self._keep(self.train, "train_loss", trainer)
        self._keep(self.val, "val_loss", trainer)

    def state_dict(self) -> dict[str, Any]:
        return {"train": list(self.train), "val": list(self.val)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.train = [(step, value) for step, value in state_dict["train"]]
        self.val = [(step, value) for step, value in state_dict["val"]]

    def _keep(self, points: list[Point], name: str, trainer: pl.Trainer) -> None:
        value, step = trainer.callback_metrics.get(name), trainer.global_step
        if value is not None and not (points and points[-1][0] >= step):
            points.append((step, float(value)))
            thin(points, self.MOST)


def thin(points: list[Point], most: int) -> None:
    """Leaves out every other point of more than `most`, but not the lowest and the last."""
    if len(points) > most:
        lowest = min(points, key=lambda point: point[1])
        points[:-1] = [p for n, p in enumerate(points[:-1]) if n % 2 == 0 or p == lowest]
