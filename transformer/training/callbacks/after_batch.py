from abc import ABC, abstractmethod
from typing import Any

import pytorch_lightning as pl


class AfterBatch(pl.Callback, ABC):
    @abstractmethod
    def after_batch(self, trainer: pl.Trainer, batch: Any) -> None: ...

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.after_batch(trainer, batch)
