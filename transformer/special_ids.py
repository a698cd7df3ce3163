"""What data, config and models must agree on. Imports nothing."""

# The first ids of a vocabulary that is made for pairs; its units follow.
PADDING = 0
BEGIN = 1
END = 2
NUM_SPECIALS = 3

IGNORED = -100  # the target that F.cross_entropy leaves out

LENGTH_PENALTY = 0.6  # of beam search: arXiv:1706.03762, 6.1


def default_feedforward_dim(embedding_dim: int, activation: str) -> int:
    """4 C; for swiglu, which has three matrices, 8/3 C to the nearest multiple of 8."""
    if activation == "swiglu":
        return max(8, 8 * round(embedding_dim / 3))
    return 4 * embedding_dim
