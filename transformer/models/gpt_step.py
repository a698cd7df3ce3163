"""Reads one new token for each row, with a GPT and its cache, in as few calls as PyTorch allows.

The mathematics is that of `GPT.forward`; a test compares the two. With one token at a time, a small
model spends most of its time on calls of modules. Here functions of their weights replace them.
"""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from transformer.models.parts.attention import FusedLinear, MultiHeadAttention
from transformer.models.parts.cache import BlockCache
from transformer.models.parts.layers import Block, FeedForward, GatedFeedForward
from transformer.models.parts.norms import RMSNorm

_PLAIN = (nn.Linear, FusedLinear, nn.LayerNorm, RMSNorm, FeedForward, GatedFeedForward)


@runtime_checkable
class HasStep(Protocol):
    def make_step(self) -> Callable[[Tensor], Tensor]: ...


def make_step(module: nn.Module) -> Callable[[Tensor], Tensor]:
    """A function that computes what the module does outside training.

    It does not call a module of a type in _PLAIN, so hooks of such a module do not run. A module of
    another type may have a method `make_step` that gives the function.
    """
    if isinstance(module, HasStep):
        return module.make_step()
    if type(module) not in _PLAIN:
        return module
    if isinstance(module, nn.Linear):
        weight, bias = module.weight, module.bias
        return lambda x: F.linear(x, weight, bias)
    if isinstance(module, nn.LayerNorm):
        shape, weight, bias, eps = module.normalized_shape, module.weight, module.bias, module.eps
        return lambda x: torch.layer_norm(x, shape, weight, bias, eps)
    if isinstance(module, RMSNorm):
        shape, weight, eps = module.normalized_shape, module.weight, module.eps
        return lambda x: torch.rms_norm(x, shape, weight.to(x.dtype), eps)
    assert isinstance(module, FeedForward | GatedFeedForward)
    first, last = make_step(module.input), make_step(module.output)
    activation = module.activation
    return lambda x: last(activation(first(x)))


def make_attention_step(module: MultiHeadAttention) -> Callable[[Tensor, BlockCache], Tensor]:
    qkv, output = make_step(module.qkv), make_step(module.output)
    rotate, attend = module.rotate, module.attend_step
    num_heads, num_kv_heads, head_dim = module.num_heads, module.num_kv_heads, module.head_dim
    numbers = (num_heads, num_kv_heads, num_kv_heads)
    query_norm, key_norm = make_step(module.query_norm), make_step(module.key_norm)
    normalized = isinstance(module.query_norm, RMSNorm)

    def step(x: Float[Tensor, "B C"], cache: BlockCache) -> Float[Tensor, "B C"]:
        num_rows = x.shape[0]
        heads = qkv(x).view(num_rows, sum(numbers), 1, head_dim)
        q, k, v = heads.split(numbers, dim=1)  # (B, H, 1, D), twice (B, G, 1, D)
        if normalized:
            q, k = query_norm(q), key_norm(k)
        if rotate is not None:
            q, k = rotate(q, cache.positions), rotate(k, cache.positions)
        k, v = cache.append(k, v)  # (B, G, S, D)
        # Heads that share keys stand in the places of positions: so no key is read twice.
        q = q.reshape(num_rows, num_kv_heads, -1, head_dim)
        heads = attend(q.to(k.dtype), k, v)
        return output(heads.reshape(num_rows, -1).to(x.dtype))

    return step


def make_block_step(block: Block) -> Callable[[Tensor, BlockCache], Tensor]:
    attend, feed = make_attention_step(block.attention), make_step(block.feedforward)
    attention_norm = make_step(block.attention_norm)
    feedforward_norm = make_step(block.feedforward_norm)

    def pre_norm(x: Tensor, cache: BlockCache) -> Tensor:
        x = x + attend(attention_norm(x), cache)
        return x + feed(feedforward_norm(x))

    def post_norm(x: Tensor, cache: BlockCache) -> Tensor:
        x = attention_norm(x + attend(x, cache))
        return feedforward_norm(x + feed(x))

    return pre_norm if block.norm_first else post_norm
