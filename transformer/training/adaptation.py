"""Trains the adapter of a frozen model: checkpoints hold the adapter alone."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from transformer.models.low_rank import MergedWeights, trained_tensors
from transformer.storage.metadata import ADAPTER, model_tensors
from transformer.storage.tensor_file import check_names
from transformer.training.lightning_module import LanguageModule


class AdaptedModule(LanguageModule):
    """Its model has adapters; `adapter` says what they are, and what their base is."""

    adapter: Mapping[str, Any]

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.strict_loading = False  # no checkpoint has the base; `on_load_checkpoint` checks names

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        names = {f"model.{name}" for name in trained_tensors(self.model)}
        weights = checkpoint["state_dict"]
        checkpoint["state_dict"] = {name: weights[name] for name in weights if name in names}
        super().on_save_checkpoint(checkpoint)

    @property
    def checkpoint_metadata(self) -> Mapping[str, Any]:
        return self.metadata | {ADAPTER: dict(self.adapter)}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Raises: ValueError for a checkpoint of another adapter."""
        check_names(trained_tensors(self.model), model_tensors(checkpoint["state_dict"]))
        super().on_load_checkpoint(checkpoint)

    def weights_to_save(self) -> Mapping[str, Tensor]:
        """Those of the merged model, one at a time: no second model is in memory."""
        return MergedWeights(self.model)

    def free_weights(self) -> None:
        self.model.to("meta")


def adapted(kind: type[LanguageModule], adapter: Mapping[str, Any]) -> type[LanguageModule]:
    """A subclass of this kind of module with AdaptedModule."""

    class Adapted(AdaptedModule, kind):
        pass

    Adapted.adapter = adapter
    return Adapted
