import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

MULTIPLIER = -7046029254386353131  # 2^64 / golden ratio as int64: Fibonacci hashing (Knuth)


def wrapped(number: int) -> int:
    """The int64 that a number becomes when it overflows, as products of tensors do."""
    return (number + 2**63) % 2**64 - 2**63


class NgramEmbedding(nn.Embedding):
    """The token's vector plus one for each n-gram, n = 2 to `ngram_size`, that ends with it.

    Each n has a table with one row per n-gram. If there are more n-grams than `ngram_buckets`, they
    share that many rows by hashing. Tokens before the first one count as token 0. With ngram_size 1
    this is a plain embedding. Cf. Huang et al. 2025 (arXiv:2501.16975).

    N-grams are numbered as in a vocabulary of `ngram_vocab_size` symbols, by default all; those
    with other symbols share rows with them.
    """

    def __init__(
        self,
        vocab_size: int,
        embedding_dim: int,
        ngram_size: int = 1,
        ngram_buckets: int = 8192,
        ngram_vocab_size: int | None = None,
    ) -> None:
        super().__init__(vocab_size, embedding_dim)
        self.base = ngram_vocab_size or vocab_size
        self.ngram_tables = nn.ParameterList(
            torch.zeros(min(self.base**size, ngram_buckets), embedding_dim)
            for size in range(2, ngram_size + 1)
        )

    def forward(self, input: Int[Tensor, "B T"]) -> Float[Tensor, "B T C"]:
        x = super().forward(input)
        ngrams = input
        for back, table in enumerate(self.ngram_tables, start=1):
            earlier = F.pad(input[:, :-back], (min(back, input.shape[1]), 0))
            ngrams = ngrams + earlier * wrapped(self.base**back)
            if self.base ** (back + 1) > len(table):
                rows = (ngrams * MULTIPLIER >> 32) % len(table)
            else:  # each has its own row
                rows = ngrams if self.base == self.num_embeddings else ngrams % len(table)
            x = x + F.embedding(rows, table)
        return x


class TokenShift(nn.Module):
    """Adds a share of the previous position: x_t + w * x_{t-1}, with a learned w per channel.

    w starts at 0, which changes nothing. Cf. Peng et al. 2023 (arXiv:2305.13048), 3.1.1, where
    every block interpolates the two.
    """

    def __init__(self, embedding_dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(embedding_dim))

    def forward(self, x: Float[Tensor, "B T C"]) -> Float[Tensor, "B T C"]:
        return x + self.weight * F.pad(x[:, :-1], (0, 0, 1, 0))
