"""What config and models must agree on. Imports nothing."""


def default_feedforward_dim(embedding_dim: int, activation: str) -> int:
    """4 C; for swiglu, which has three matrices, 8/3 C to the nearest multiple of 8."""
    if activation == "swiglu":
        return max(8, 8 * round(embedding_dim / 3))
    return 4 * embedding_dim
