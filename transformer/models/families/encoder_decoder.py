"""The settings of the encoder-decoder."""

from dataclasses import dataclass

from transformer.models.families.base import TransformerSettings, key


@dataclass(frozen=True, kw_only=True)
class EncoderDecoderSettings(TransformerSettings):
    """The defaults in Python are the choices of "Attention is all you need" (arXiv:1706.03762)."""

    name = "encoder_decoder"
    model_class = "transformer.models.encoder_decoder:EncoderDecoder"
    data = "pairs"
    shows_learning = False

    source_vocab_size: int
    positions: str = "sinusoidal"
    norm_first: bool = False
    activation: str = "relu"
    target_dropout: float = key(
        0.0, "fraction of target tokens that training hides from the decoder", ge=0, lt=1
    )
    ctc_weight: float = key(
        0.0, "weight of a second training loss (CTC): the encoder predicts the target", ge=0
    )
    shared_vocabulary: bool = key(
        False, "use one vocabulary and one embedding for sources and targets"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shared_vocabulary and self.vocab_size != self.source_vocab_size:
            raise ValueError(
                "a shared vocabulary has one size, got "
                f"vocab_size={self.vocab_size} and source_vocab_size={self.source_vocab_size}"
            )

    def doubts(self, warmup_steps: int | str) -> list[str]:
        lines = []
        if self.positions in ("rotary", "none"):
            lines.append(
                f"positions: {self.positions} gives no positions to an encoder_decoder's "
                "cross-attention, so it learns order late: give --positions sinusoidal or learned"
            )
        return lines + super().doubts(warmup_steps)
