"""Options that are known to train badly together, said at a run's start with the way out."""

from transformer.config.keys import Config

# Xiong et al. 2020 (arXiv:2002.04745) could not train 6 post-norm blocks without a warmup; 2 blocks
# need none here.
DEEP = 6


def doubts(config: Config) -> list[str]:
    """A line each, for a config that is valid and yet hardly what was meant."""
    lines = []
    if config.model == "encoder_decoder" and config.positions in ("rotary", "none"):
        lines.append(
            f"positions: {config.positions} tells an encoder_decoder's cross-attention no "
            "positions, so that it learns late where the order counts: give --positions sinusoidal "
            "or learned"
        )
    deep = config.model != "bigram" and config.num_blocks >= DEEP
    if deep and not config.norm_first and config.warmup_steps == 0:
        lines.append(
            f"norm_first: false in {config.num_blocks} blocks learns late or never without a "
            "warmup: give --warmup_steps auto or --norm_first true"
        )
    return lines
