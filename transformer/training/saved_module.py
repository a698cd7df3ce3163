import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from torch import Tensor

from transformer.models import build_model
from transformer.models.base import SequenceModel
from transformer.models.families.registry import completed
from transformer.models.parts.layers import skipped_initialization
from transformer.storage.metadata import ADAPTER, distinct_tensors, model_tensors
from transformer.storage.training_state import read_with_metadata
from transformer.system.errors import UserError
from transformer.training.strategies import is_sharded

_NOT_JSON = ("format_version", "sha256")


class SavedModule(pl.LightningModule):
    """Collects sharded weights for files, and rebuilds itself from a checkpoint."""

    model: SequenceModel
    metadata: dict[str, Any]

    @property
    def checkpoint_metadata(self) -> Mapping[str, Any]:
        return self.metadata

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
        """Builds the checkpoint's model; `changes` replace its constructor arguments.

        Raises: UserError for a file that is not a checkpoint of a module, or has no lr.
        """
        arguments = arguments_of(Path(checkpoint_path)) | changes
        if "lr" not in arguments and hparams_file is None:
            call = f"{cls.__name__}.load_from_checkpoint(path, lr=...)"
            raise UserError(f"{checkpoint_path}: has no lr: call {call}")
        more = {"hparams_file": hparams_file, "strict": strict, "weights_only": weights_only}
        return super().load_from_checkpoint(checkpoint_path, map_location, **more, **arguments)

    def whole_weights(self) -> dict[str, Tensor]:
        """The model's weights; sharded ones are collected on rank 0. All ranks must call this."""
        return model_tensors(self.trainer.strategy.lightning_module_state_dict())

    def weights_to_save(self) -> Mapping[str, Tensor]:
        """What a model file holds: each tensor once. All ranks must call this."""
        return distinct_tensors(self.whole_weights())

    def free_weights(self) -> None:
        """After training: whoever needs another model may give up this one's memory."""

    def whole_model(self) -> SequenceModel:
        """A model that a rank can use alone; if the weights are sharded, a copy on the CPU.

        All ranks must call this together; the copy has the weights on rank 0 only.
        """
        if not any(map(is_sharded, self.model.parameters())):
            return self.model
        weights = self.whole_weights()
        with skipped_initialization():
            model = build_model(**self.model.architecture)
        if weights:
            model.load_state_dict(weights)
        return model


def arguments_of(path: Path) -> dict[str, Any]:
    """Returns the constructor's arguments, with a model whose weights are not loaded yet.

    If the checkpoint has no hyperparameters, the config that train.py stored in it is used.

    Raises: UserError for a checkpoint that holds an adapter alone.
    """
    content, texts = read_with_metadata(path)
    metadata = {name: json.loads(text) for name, text in texts.items() if name not in _NOT_JSON}
    if ADAPTER in metadata:
        raise UserError(
            f"{path}: holds an adapter alone: transformer.load(path) merges it with its base"
        )
    settings = content.get("hyper_parameters") or metadata.get("config", {})
    with skipped_initialization():
        model = build_model(**completed(metadata["architecture"]))
    return {**settings, "model": model, "metadata": metadata}
