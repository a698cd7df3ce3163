"""The nearest orthogonal matrix U V^T of a matrix U S V^T, approximately and in three ways.

All take matrices (N, R, K), R <= K, that are multiplied in one batch. What they compute is a
function of the singular values alone, so the singular vectors stay.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor

# Of matrices (N, R, K).
Polar = Callable[[Tensor], Tensor]

# a, b and c of each step.
Coefficients = tuple[tuple[float, float, float], ...]
# Jordan et al. 2024 (kellerjordan.github.io/posts/muon), as in torch.optim.Muon.
JORDAN: Coefficients = ((3.4445, -4.7750, 2.0315),) * 5
# Polar Express, Amsel et al. 2025 (arXiv:2505.16932): each step is the odd quintic that is nearest
# to 1 where the step before has left the values of [0.003, 1]; each such interval is widened by 3 %
# at both ends, as bfloat16 rounds. The last is multiplied by 0.84, so that a matrix of a training
# run changes by as much as with JORDAN.
POLAR_EXPRESS: Coefficients = (
    (8.14313009, -22.67786232, 15.84513972),
    (3.94504481, -2.77267225, 0.49417637),
    (2.93411458, -2.08213000, 0.39110591),
)
_NORM_EPS = 1e-7
# Zolotarev's function of type (5, 4) that is nearest to 1 on [0.003, 1], where it stays between
# 0.871 and 1.129: Nakatsukasa and Freund 2016 (doi:10.1137/140990334), eqs. 3.7 to 3.12. In partial
# fractions, x (CONSTANT_TERM + sum of A / (x^2 + C)).
LEAST_VALUE = 0.003
CONSTANT_TERM = 0.912315
FRACTIONS = ((0.0121906, 3.56363e-05), (0.207218, 0.0127264))


def newton_schulz(x: Float[Tensor, "N R K"]) -> Float[Tensor, "N R K"]:
    """Five times JORDAN's quintic. X is scaled by its Frobenius norm.

    Singular values of at least 0.002 of the norm end between 0.7 and 1.2.
    """
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=_NORM_EPS)
    return _iterate(x, x @ x.mT, JORDAN)


def polar_express(x: Float[Tensor, "N R K"]) -> Float[Tensor, "N R K"]:
    """The three quintics of POLAR_EXPRESS. X is scaled by the root of the norm of G = X X^T.

    That is at least the greatest singular value. Those of at least 0.003 of it end between 0.26 and
    1.42. They are less level than by `newton_schulz`, for 60 % of its products, and training loses
    nothing by it: see benchmarks/README.md.
    """
    gram = x @ x.mT
    scale = _square_of_norm(gram)
    return _iterate(x / scale.sqrt(), gram / scale, POLAR_EXPRESS)


def _square_of_norm(gram: Float[Tensor, "N R R"]) -> Float[Tensor, "N 1 1"]:
    """Of X's Schatten 4-norm, which is at least the greatest singular value, from G = X X^T."""
    return gram.norm(dim=(1, 2), keepdim=True).clamp(min=_NORM_EPS**2)


def _iterate(
    x: Float[Tensor, "N R K"], gram: Float[Tensor, "N R R"], coefficients: Coefficients
) -> Float[Tensor, "N R K"]:
    """X <- (a I + b G + c G^2) X with G = X X^T, once for each a, b and c.

    In float32, X is replaced in the steps by G, if that is at most half as large.
    """
    if x.dtype != torch.bfloat16 and x.shape[2] >= 2 * x.shape[1]:
        return _product_of_polynomials(gram, coefficients) @ x
    for step, (a, b, c) in enumerate(coefficients):
        if step:
            gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x


def _product_of_polynomials(
    gram: Float[Tensor, "N R R"], coefficients: Coefficients
) -> Float[Tensor, "N R R"]:
    """The product of the matrices P = a I + b G + c G^2 by which the iteration multiplies X.

    They follow from G alone, because G becomes P G P: no product has K columns then. All of them
    are polynomials in the first G, so they commute. In bfloat16, small eigenvalues of G would be
    lost, and what is left of them would grow without bound.
    """
    first, *others = coefficients
    product = factor = _polynomial(gram, *first)
    for of_step in others:
        gram = factor @ gram @ factor
        factor = _polynomial(gram, *of_step)
        product = product @ factor
    return product


def _polynomial(
    gram: Float[Tensor, "N R R"], a: float, b: float, c: float
) -> Float[Tensor, "N R R"]:
    result = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
    result.diagonal(dim1=1, dim2=2).add_(a)
    return result


def zolotarev(x: Float[Tensor, "N R K"]) -> Float[Tensor, "N R K"]:
    """(B I + sum of A (G + C I)^-1) X: two inverses in place of most products.

    G is X X^T, B the constant term. X is scaled by the root of the norm of G, which is at least the
    greatest singular value. Those of at least LEAST_VALUE of it end between 0.871 and 1.129. Not
    for bfloat16, which has no digits for the inverses.
    """
    assert x.dtype != torch.bfloat16
    gram = x @ x.mT
    scale = _square_of_norm(gram)
    factor = torch.eye(gram.shape[1], dtype=x.dtype, device=x.device) * CONSTANT_TERM
    with _one_thread():
        for a, c in FRACTIONS:
            shifted = gram / (a * scale)
            shifted.diagonal(dim1=1, dim2=2).add_(c / a)
            factor = factor + torch.cholesky_inverse(torch.linalg.cholesky_ex(shifted).L)
    return (factor / scale.sqrt()) @ x


@contextmanager
def _one_thread() -> Iterator[None]:
    """LAPACK's threads would wait for each other far longer than they compute."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


PLAIN = "polar_express"  # the fastest that any format and device can compute
FAST_POLARS = (PLAIN, "zolotarev")  # which of them is faster depends on the machine
POLARS: dict[str, Polar] = {
    PLAIN: polar_express,
    "newton_schulz": newton_schulz,
    "zolotarev": zolotarev,
}
