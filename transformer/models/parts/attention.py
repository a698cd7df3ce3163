"""Attention weights, attention, multi-head attention and masks.

Letters in shapes, here and in the whole repository: B batch, T query positions, S key positions,
C embedding_dim, H heads, G heads of keys and values (num_kv_heads, which divides H), D head_dim, by
default C / H, F feedforward_dim, V vocab_size, N num_blocks, R rows of tokens that read B rows of a
memory (in beam search, K rows of tokens read one row of memory).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from transformer.models.families.base import check_heads, check_kv_heads
from transformer.models.parts.cache import BlockCache, Positions
from transformer.models.parts.decoder_cache import CrossCache, KeysValues
from transformer.models.parts.dropout import dropout as drop
from transformer.models.parts.norms import NORM_EPS, RMSNorm

Mask = Bool[Tensor, "#B #H #T S"]


def causal_mask(size: int, device: torch.device | None = None) -> Bool[Tensor, "T T"]:
    """`mask[t, s]` is True where position t may read position s: where s <= t."""
    return torch.ones(size, size, dtype=torch.bool, device=device).tril()


def attention_weights(
    query: Float[Tensor, "B H T D"], key: Float[Tensor, "B G S D"], mask: Mask | None = None
) -> Float[Tensor, "B H T S"]:
    """How much each query position reads from each key position; rows sum to 1.

    softmax(Q K^T / sqrt(D)): Vaswani et al. 2017 (arXiv:1706.03762), eq. 1, without the product
    with V. Attention maps need these weights alone. With fewer heads of keys than of queries,
    H / G neighboring heads of queries share one: Ainslie et al. 2023 (arXiv:2305.13245).

    `mask[b, h, t, s]` is True where position t may read position s. A row without True reads
    nothing: all its weights are 0. The softmax is computed in float32 or wider, then cast back.
    """
    weights = _softmax_of_scores(query, key, mask)
    return weights if mask is None else weights.masked_fill(~mask, 0)


def attention(
    query: Float[Tensor, "B H T D"],
    key: Float[Tensor, "B G S D"],
    value: Float[Tensor, "B G S D"],
    mask: Mask | None = None,
    dropout: float = 0.0,
    *,
    causal: bool = False,
) -> Float[Tensor, "B H T D"]:
    """attention_weights @ V (eq. 1), computed step by step.

    `dropout` sets weights to 0 and scales up the others. With `causal`, T must be S, and the causal
    mask takes the place of `mask`.
    """
    if causal:  # each position reads itself, so no row needs the zeros of attention_weights
        weights = _softmax_of_scores(query, key, causal_mask(query.shape[2], query.device))
    else:
        weights = attention_weights(query, key, mask)
    return drop(weights, dropout) @ _for_heads(value, query.shape[1])


def _for_heads(x: Float[Tensor, "B G S D"], num_heads: int) -> Float[Tensor, "B H S D"]:
    """Keys or values, once for each head of queries."""
    if x.shape[1] == num_heads:
        return x
    return x.repeat_interleave(num_heads // x.shape[1], dim=1)


def _softmax_of_scores(query: Tensor, key: Tensor, mask: Tensor | None) -> Float[Tensor, "B H T S"]:
    """Computes, scales and masks the scores in one batched product.

    A mask row without True gives equal weights, not zeros.
    """
    bias = query.new_zeros(1, 1, 1)
    if mask is not None:
        # The lowest finite number: a row of -inf would make the softmax and its gradient NaN.
        bias = query.new_zeros(mask.shape).masked_fill(~mask, torch.finfo(query.dtype).min)
        bias = bias if bias.ndim == 2 else bias.expand(*query.shape[:3], -1).flatten(0, 1)
    scores = torch.baddbmm(
        bias,
        query.flatten(0, 1),
        _for_heads(key, query.shape[1]).flatten(0, 1).mT,
        alpha=query.shape[-1] ** -0.5,
    )
    return scores.softmax(dim=-1).unflatten(0, query.shape[:2])


def fused_attention(
    query: Float[Tensor, "B H T D"],
    key: Float[Tensor, "B G S D"],
    value: Float[Tensor, "B G S D"],
    mask: Mask | None = None,
    dropout: float = 0.0,
    *,
    causal: bool = False,
) -> Float[Tensor, "B H T D"]:
    shared = query.shape[1] != key.shape[1]
    return F.scaled_dot_product_attention(
        query, key, value, mask, dropout, is_causal=causal, enable_gqa=shared
    )


ATTENTIONS: dict[str, Callable[..., Tensor]] = {"explicit": attention, "fused": fused_attention}


class FusedLinear(nn.Linear):
    """Several linear maps of one input, computed as one product: `weight` stacks their matrices.

    `part_sizes` are the outputs of each map.
    """

    def __init__(self, in_features: int, part_sizes: Sequence[int], *, bias: bool) -> None:
        super().__init__(in_features, sum(part_sizes), bias=bias)
        self.part_sizes = tuple(part_sizes)


class _Heads(nn.Module, ABC):
    """The common part of self-attention and cross-attention.

    By default, a head is embedding_dim / num_heads wide and has keys and values of its own. With
    fewer num_kv_heads, num_heads / num_kv_heads neighboring heads share theirs (grouped-query
    attention, arXiv:2305.13245).

    Raises: ValueError if embedding_dim is not divisible by num_heads and no head_dim is given, and
    if num_heads is not divisible by num_kv_heads.
    """

    dropout = 0.0  # of attention weights
    output: nn.Linear

    def __init__(
        self,
        embedding_dim: int,
        num_heads: int,
        num_kv_heads: int | None = None,
        head_dim: int | None = None,
        bias: bool = True,
        qk_norm: bool = False,
        norm_eps: float = NORM_EPS,
    ) -> None:
        super().__init__()
        if head_dim is None:
            check_heads(embedding_dim, num_heads)
            head_dim = embedding_dim // num_heads
        self.attend: Callable[..., Tensor] = fused_attention
        self.num_heads = num_heads
        self.num_kv_heads = num_kv_heads or num_heads
        check_kv_heads(num_heads, self.num_kv_heads)
        self.head_dim = head_dim
        self.query_norm = RMSNorm(head_dim, eps=norm_eps) if qk_norm else nn.Identity()
        self.key_norm = RMSNorm(head_dim, eps=norm_eps) if qk_norm else nn.Identity()
        self._make_inputs(embedding_dim, num_heads * head_dim, self.num_kv_heads * head_dim, bias)
        self.output = nn.Linear(num_heads * head_dim, embedding_dim, bias=bias)

    @abstractmethod
    def _make_inputs(self, width: int, of_queries: int, of_keys: int, bias: bool) -> None:
        """The matrices that make queries, keys and values, whose sizes are given, of the input."""

    def _joined_heads(
        self, x: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Mask | None, *, causal: bool = False
    ) -> Tensor:
        """The output matrix times the joined heads, in the shape and number format of x."""
        dropout = self.dropout if self.training else 0.0
        heads = self.attend(q, k, v, mask, dropout, causal=causal).transpose(1, 2)
        joined = heads.reshape(*x.shape[:-1], self.num_heads * self.head_dim)
        return self.output(joined.to(x.dtype))


class MultiHeadAttention(_Heads):
    """Self-attention in num_heads parallel heads of width head_dim: arXiv:1706.03762, 3.2.2.

    `rotate` rotates queries and keys by their positions (rotary positions). `qk_norm` normalizes
    queries and keys before that (Henry et al. 2020, arXiv:2010.04245; per head, as in Qwen3). With
    `causal`, no position reads a later one, even if the mask allows it.
    """

    def __init__(
        self,
        embedding_dim: int,
        num_heads: int,
        *,
        causal: bool,
        dropout: float = 0.0,
        rotate: Callable[[Tensor, Positions], Tensor] | None = None,
        num_kv_heads: int | None = None,
        head_dim: int | None = None,
        bias: bool = True,
        qk_norm: bool = False,
        norm_eps: float = NORM_EPS,
    ) -> None:
        super().__init__(embedding_dim, num_heads, num_kv_heads, head_dim, bias, qk_norm, norm_eps)
        self.dropout = dropout
        self.causal = causal
        self.rotate = rotate
        self.attend_step: Callable[..., Tensor] = fused_attention  # see models/gpt_step.py

    def _make_inputs(self, width: int, of_queries: int, of_keys: int, bias: bool) -> None:
        self.qkv = FusedLinear(width, (of_queries, of_keys, of_keys), bias=bias)

    def forward(
        self, x: Float[Tensor, "B T C"], mask: Mask | None = None, cache: BlockCache | None = None
    ) -> Float[Tensor, "B T C"]:
        """With a `cache`, x follows the tokens in the cache, and the mask is the cache's."""
        positions = slice(0, x.shape[1]) if cache is None else cache.positions
        q, k, v = self._queries_keys_values(x, positions)
        if cache is not None:
            k, v = cache.append(k, v)  # (B, G, S, D)
            q = q.to(k.dtype)
        elif self.causal and mask is not None:
            mask = mask & causal_mask(x.shape[1], x.device)
        # One new token may read all tokens in the cache. Sizes are compared only with a cache: they
        # differ between batches of pairs, and torch.compile would break the graph.
        causal = self.causal and mask is None and (cache is None or q.shape[2] == k.shape[2])
        return self._joined_heads(x, q, k, v, mask, causal=causal)

    def weights(
        self, x: Float[Tensor, "B T C"], mask: Mask | None = None
    ) -> Float[Tensor, "B H T T"]:
        """The weights that `forward` uses without a cache."""
        if self.causal:
            causal = causal_mask(x.shape[1], x.device)[None, None]
            mask = causal if mask is None else mask & causal
        q, k, _ = self._queries_keys_values(x, slice(0, x.shape[1]))
        return attention_weights(q, k, mask)

    def _queries_keys_values(self, x: Tensor, positions: Positions) -> tuple[Tensor, ...]:
        """Queries (B, H, T, D), keys and values (B, G, T, D)."""
        numbers = (self.num_heads, self.num_kv_heads, self.num_kv_heads)
        heads = self.qkv(x).unflatten(-1, (sum(numbers), self.head_dim)).transpose(1, 2)
        q, k, v = heads.split(numbers, dim=1)
        q, k = self.query_norm(q), self.key_norm(k)
        if self.rotate is not None:
            q, k = self.rotate(q, positions), self.rotate(k, positions)
        return q, k, v


class CrossAttention(_Heads):
    """Queries of x read keys and values of a memory, in num_heads heads: arXiv:1706.03762, 3.2.3.

    Several neighboring rows of x, such as the beams of a search, may read one row of the memory.
    Positions of x do not read each other here, so the memory's keys need not be copied.
    """

    def _make_inputs(self, width: int, of_queries: int, of_keys: int, bias: bool) -> None:
        self.query = nn.Linear(width, of_queries, bias=bias)
        self.key_value = FusedLinear(width, (of_keys, of_keys), bias=bias)

    def forward(
        self,
        x: Float[Tensor, "R T C"],
        memory: Float[Tensor, "B S C"],
        mask: Mask | None = None,
        cache: CrossCache | None = None,
    ) -> Float[Tensor, "R T C"]:
        """A `cache` keeps the memory's keys and values, which are computed at its first use."""
        if cache is None:
            k, v = self._keys_values(memory)  # (B, G, S, D)
        else:
            k, v = cache.get(lambda: self._keys_values(memory))
        q = self._queries(x, len(memory)).to(k.dtype)
        return self._joined_heads(x, q, k, v, mask)

    def weights(
        self, x: Float[Tensor, "B T C"], memory: Float[Tensor, "B S C"], mask: Mask | None = None
    ) -> Float[Tensor, "B H T S"]:
        """How much each position of x reads from each position of the memory."""
        return attention_weights(self._queries(x, len(x)), self._keys_values(memory)[0], mask)

    def _queries(self, x: Float[Tensor, "R T C"], num_rows: int) -> Float[Tensor, "B H _ D"]:
        q = self.query(x).view(num_rows, -1, self.num_heads, self.head_dim)
        return self.query_norm(q.transpose(1, 2))

    def _keys_values(self, memory: Float[Tensor, "B S C"]) -> KeysValues:
        heads = self.key_value(memory).unflatten(-1, (2 * self.num_kv_heads, self.head_dim))
        k, v = heads.transpose(1, 2).chunk(2, dim=1)
        return self.key_norm(k), v


def use_attention(model: nn.Module, name: str) -> None:
    """Sets the attention of every layer: `explicit` or `fused`. A new model has `fused`."""
    for part in model.modules():
        if isinstance(part, _Heads):
            part.attend = ATTENTIONS[name]


def use_attention_in_steps(model: nn.Module, name: str) -> None:
    """Sets the attention of a GPT's passes over one new token in each row. A new one has `fused`.

    For many rows the float32 keys do not fit into a CPU's own cache, and there `explicit` may read
    them faster.
    """
    for part in model.modules():
        if isinstance(part, MultiHeadAttention):
            part.attend_step = ATTENTIONS[name]
