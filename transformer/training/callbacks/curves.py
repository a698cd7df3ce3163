from typing import Any

import pytorch_lightning as pl

from transformer.training.lightning_internals import logs_now

Point = tuple[int, float]  # steps done, and a loss


class Curves(pl.Callback):
    """Keeps the losses of a run, over all resumes: train_loss as logged, val_loss as validated.

    A long curve is thinned: MOST points at most.
    """

    MOST = 2000

    def __init__(self) -> None:
        self.train: list[Point] = []
        self.val: list[Point] = []

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any, **__: Any) -> None:
        """By now, the loss of the step before is logged."""
        if trainer.global_step and logs_now(trainer):
            _keep(self.train, trainer, "train_loss", self.MOST)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        _keep(self.train, trainer, "train_loss", self.MOST)
        _keep(self.val, trainer, "val_loss", self.MOST)

    def state_dict(self) -> dict[str, Any]:
        return {"train": list(self.train), "val": list(self.val)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.train = [(step, value) for step, value in state_dict["train"]]
        self.val = [(step, value) for step, value in state_dict["val"]]


def _keep(points: list[Point], trainer: pl.Trainer, name: str, most: int) -> None:
    value = trainer.callback_metrics.get(name)
    if value is None or (points and points[-1][0] >= trainer.global_step):
        return
    points.append((trainer.global_step, float(value)))
    if len(points) > most:
        del points[:-1:2]
