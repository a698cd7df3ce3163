"""A module whose weights leave it whole and come back: for files, and from a checkpoint alone."""

import json
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from torch import Tensor
from torch.distributed.fsdp import FSDPModule

from transformer.models import SequenceModel, build_model
from transformer.models.parts.layers import skipped_initialization
from transformer.storage.metadata import METADATA_KEY, model_tensors
from transformer.storage.training_state import read_training_state
from transformer.system.errors import UserError

_NOT_JSON = ("format_version", "sha256")


class SavedModule(pl.LightningModule):
    """Lightning's `load_from_checkpoint` builds the model as the checkpoint describes it."""

    model: SequenceModel

    @classmethod
    def load_from_checkpoint(
        cls,
        checkpoint_path: Any,
        map_location: Any = None,
        hparams_file: Any = None,
        strict: bool | None = None,
        weights_only: bool | None = True,
        **changes: Any,
    ) -> Any:
        """`changes` are arguments of the constructor, which come before those of the checkpoint.

        Raises: UserError for a file that is no checkpoint of a module, or has no lr.
        """
        arguments = arguments_of(Path(checkpoint_path)) | changes
        if "lr" not in arguments and hparams_file is None:
            raise UserError(
                f"{checkpoint_path}: holds no lr: give {cls.__name__}.load_from_checkpoint(path, "
                "lr=...)"
            )
        more = {"hparams_file": hparams_file, "strict": strict, "weights_only": weights_only}
        return super().load_from_checkpoint(checkpoint_path, map_location, **more, **arguments)

    def whole_weights(self) -> dict[str, Tensor]:
        """The model's, put together on rank 0 where they are sharded; all ranks ask at once."""
        return model_tensors(self.trainer.strategy.lightning_module_state_dict())

    def whole_model(self) -> SequenceModel:
        """One that a rank can use alone: of sharded weights a copy, which is on the CPU.

        All ranks ask at once, and rank 0 has an answer of use.
        """
        if not isinstance(self.model, FSDPModule):
            return self.model
        weights = self.whole_weights()
        with skipped_initialization():
            model = build_model(**self.model.architecture)
        if weights:
            model.load_state_dict(weights)
        return model


def arguments_of(path: Path) -> dict[str, Any]:
    """The constructor's, with a model whose weights are yet to be loaded.

    What runs of train.py say of their config counts where the checkpoint holds no hyperparameters.
    """
    content = read_training_state(path)
    if not isinstance(texts := content.get(METADATA_KEY), dict):
        raise UserError(
            f"{path}: not a checkpoint of this program: it has no {METADATA_KEY!r} part"
        )
    metadata = {name: json.loads(text) for name, text in texts.items() if name not in _NOT_JSON}
    settings = content.get("hyper_parameters") or metadata.get("config", {})
    with skipped_initialization():
        model = build_model(**metadata["architecture"])
    return {**settings, "model": model, "metadata": metadata}
