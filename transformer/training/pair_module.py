"""The LightningModule of pairs: how it differs from that of a text."""

from collections.abc import Callable, Sequence

from torch import Tensor

from transformer.training.lightning_module import LanguageModule
from transformer.training.losses import ctc_loss


class PairModule(LanguageModule):
    num_inputs = 2
    ctc_loss: Callable[..., Tensor] = staticmethod(ctc_loss)

    def predict(self, inputs: Sequence[Tensor], targets: Tensor) -> tuple[Tensor, Tensor | float]:
        """With a `ctc_weight`, adds the CTC loss of the encoder's own guess at the target."""
        weight = self.model.architecture["ctc_weight"]
        if not weight:
            return super().predict(inputs, targets)
        logits, guess = self.model(*inputs, guess=True)
        return logits, weight * self.ctc_loss(guess, inputs[0], targets)
