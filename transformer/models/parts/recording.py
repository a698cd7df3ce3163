"""Records the attention weights of a pass through a model."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

from jaxtyping import Float
from torch import Tensor, nn

from transformer.models.parts.attention import CrossAttention, MultiHeadAttention


@contextmanager
def recorded_weights(
    layers: Iterable[MultiHeadAttention | CrossAttention],
) -> Iterator[list[Float[Tensor, "B H T S"]]]:
    """Collects the attention weights of each call of these layers inside the `with` block.

    The weights are computed a second time from the inputs of each call. This works for calls
    without a cache only.
    """
    maps: list[Tensor] = []

    def record(layer: nn.Module, inputs: tuple, _: Tensor) -> None:
        maps.append(layer.weights(*inputs[:-1]))  # type: ignore[operator]  # all but the cache

    with ExitStack() as hooks:  # removes them at its end
        for layer in layers:
            hooks.enter_context(layer.register_forward_hook(record))
        yield maps
