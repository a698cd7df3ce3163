"""Random numbers go on in a resumed run where they stood when its checkpoint was written."""

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor


class RandomState(pl.Callback):
    """Keeps the states of torch's generators, which draw dropout, in every checkpoint.

    They are those of the process that writes it. Others draw on from the same numbers when resumed.
    """

    def __init__(self) -> None:
        self._restored: dict[str, Any] | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._restored is None:
            return
        torch.set_rng_state(self._restored["cpu"])
        for device, state in enumerate(self._restored["cuda"][: _num_gpus()]):
            torch.cuda.set_rng_state(state, device)
        self._restored = None

    def state_dict(self) -> dict[str, Any]:
        cuda: list[Tensor] = torch.cuda.get_rng_state_all() if _num_gpus() else []
        return {"cpu": torch.get_rng_state(), "cuda": cuda}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._restored = state_dict


def _num_gpus() -> int:
    return torch.cuda.device_count() if torch.cuda.is_available() else 0
