"""What every model here has in common."""

from typing import Any

from torch import nn


class TokenModel(nn.Module):
    """Tokens (B, T) -> logits (B, T, V), for T up to block_size.

    `architecture` holds plain arguments with which `build_model` makes the same model again.
    """

    architecture: dict[str, Any]
    block_size: int
