"""The settings of the encoder-decoder."""

from dataclasses import dataclass

from transformer.models.families.base import TransformerSettings, key


@dataclass(frozen=True, kw_only=True)
class EncoderDecoderSettings(TransformerSettings):
    """Its defaults in Python are those of "Attention is all you need" (arXiv:1706.03762)."""

    name = "encoder_decoder"
    model_class = "transformer.models.encoder_decoder:EncoderDecoder"
    data = "pairs"

    source_vocab_size: int
    positions: str = "sinusoidal"
    norm_first: bool = False
    activation: str = "relu"
    target_dropout: float = key(
        0.0, "share of the target's tokens hidden from the decoder, in training", ge=0, lt=1
    )
    ctc_weight: float = key(
        0.0, "weight of the encoder's own guess at the target (CTC), in training", ge=0
    )
    shared_vocabulary: bool = key(False, "one vocabulary and one embedding for sources and targets")

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
                f"positions: {self.positions} tells an encoder_decoder's cross-attention no "
                "positions, so that it learns late where the order counts: give --positions "
                "sinusoidal or learned"
            )
        return lines + super().doubts(warmup_steps)
