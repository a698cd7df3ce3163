from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray

from transformer.models.base import SequenceModel
from transformer.system.lean_imports import without_compiling
from transformer.training.lightning_internals import add_metrics
from transformer.training.lightning_module import LanguageModule
from transformer.training.loggers import log_charts, log_hparams, log_image, log_scalars, log_text
from transformer.training.ranks import of_rank_0


class Introduction(pl.Callback):
    """Logs the config (as text and as hparams) and which curves share a chart.

    `charts` maps titles of further charts to the names of their curves.
    """

    def __init__(
        self, text: str, keys: Mapping[str, Any], charts: Mapping[str, Sequence[str]]
    ) -> None:
        self.text = text
        self.keys = keys
        self.charts = {
            "losses": {"train_loss and val_loss": ("train_loss", "val_loss"), **charts},
            "steps": {name: (name,) for name in ("lr", "grad_norm")},
            "speed": {name: (name,) for name in ("tokens_per_second", "corpus_passes")},
        }

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        log_charts(trainer, self.charts)
        log_hparams(trainer, self.keys)
        log_text(trainer, "config", self.text)


class Shown(NamedTuple):
    text: str
    scalars: Mapping[str, float] = MappingProxyType({})
    images: Mapping[str, NDArray[np.uint8]] = MappingProxyType({})  # height x width x 3


class Samples(pl.Callback):
    """Logs what `show` returns, after the steps that `is_shown` names.

    `texts` holds its last text, by the step of the weights.
    """

    def __init__(
        self,
        show: Callable[[SequenceModel], Shown],
        texts: dict[int, str],
        is_shown: Callable[[int], bool] = lambda step: True,
    ) -> None:
        self.show = show
        self.texts = texts
        self.is_shown = is_shown

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, LanguageModule)
        if not self.is_shown(trainer.global_step):
            return
        model = pl_module.whole_model()
        scalars: Mapping[str, float] = {}
        if trainer.is_global_zero:
            # Otherwise every new length of a window would be compiled.
            with without_compiling():
                shown = self.show(model)
            scalars = dict(shown.scalars)
            self.texts.clear()
            self.texts[trainer.global_step] = shown.text
            log_text(trainer, "sample", shown.text)
            log_scalars(trainer, scalars)
            for name, image in shown.images.items():
                log_image(trainer, name, image)
        scalars = of_rank_0(trainer, scalars)  # all ranks must decide by the same numbers
        add_metrics(trainer, {k: torch.tensor(v) for k, v in scalars.items()})


class Advising(pl.Callback):
    """Logs, at the end of a run, what `advise` says of a run of so many steps."""

    def __init__(self, advise: Callable[[int], str]) -> None:
        self.advise = advise

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero and (text := self.advise(trainer.global_step)):
            log_text(trainer, "advice", text)
