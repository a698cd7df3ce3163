"""What a run chooses by measuring on this machine: number format, attention, threads, Muon."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from transformer.models.parts.attention import ATTENTIONS
from transformer.system.cache import cache_folder
from transformer.system.devices import has_bf16, has_fp16
from transformer.system.speed import (
    ROWS,
    WORTH_CHANGING,
    Candidate,
    Choice,
    fastest,
    seconds_of,
)
from transformer.training.optimization.polar import FAST_POLARS, PLAIN, POLARS, Polar

WIDEST = 512  # is measured: wider layers gain as much and take a second
LONGEST = 512  # positions; with more, all weights take too much memory, unless dropout needs them
MOST_HEADS = 8
WIDEST_MATRIX = 256  # the time of wider ones grows with the third power
MATRICES = (1, 4, 16)  # of each shape in one batch; a model has at least one a block
WORTH_FEWER_THREADS = 1.25  # a long run may have its cores for itself later
BATCHES = (1, 4, 16)
MANY_ROWS = (256, 1024)  # so that threads have something to share


@dataclass(frozen=True, kw_only=True)
class Chooser:
    """Makes the choices of a run on `accelerator`; answers are remembered in `cache_dir`.

    Several machines, and processes that cannot share an answer, all take the plain choice.
    """

    accelerator: str
    cache_dir: str | None = None
    num_nodes: int = 1
    devices: int | str = 1
    strategy: str = "auto"

    def precision(self, given: str, width: int) -> Choice:
        """auto on a CPU: bf16 if a layer of `width` trains faster in it, otherwise float32.

        On a GPU that multiplies bf16 in hardware it is bf16, on one that multiplies fp16 fp16: all
        that do are faster in it.
        """
        if given != "auto":
            return Choice(given)
        if self.accelerator != "cpu":
            if has_bf16(self.accelerator):
                return Choice("bf16")
            fp16 = has_fp16(self.accelerator) and self.strategy != "fsdp"
            return Choice("fp16" if fp16 else "float32")
        width = min(width, WIDEST)
        formats = {name: training_products(width, name == "bf16") for name in ("float32", "bf16")}
        return self._faster(f"training, width {width}", formats, "float32")

    def attention(
        self,
        given: str,
        *,
        heads: int,
        num_kv_heads: int | None = None,
        length: int,
        head_dim: int,
        dropout: float,
        bf16: bool,
    ) -> Choice:
        """auto on a CPU: what trains faster on `length` positions; elsewhere torch's kernel.

        With dropout torch's kernel, too, computes the formula step by step on a CPU.
        """
        if given != "auto":
            return Choice(given)
        if self.accelerator != "cpu":
            return Choice("fused")
        if length > LONGEST:
            return Choice("explicit" if dropout else "fused")
        shared_by = heads // (num_kv_heads or heads)  # heads that read the same keys
        heads = max(shared_by, min(heads, MOST_HEADS) // shared_by * shared_by)
        shape = (heads, length, head_dim)
        ways = {
            name: training_attention(f, shape, dropout, bf16, shared_by)
            for name, f in ATTENTIONS.items()
        }
        question = f"attention, {heads} heads, {length} positions, head_dim {head_dim}"
        question += f", {shared_by} share keys" * (shared_by > 1)
        question += ", with dropout" * (dropout > 0) + ", bf16" * bf16
        return self._faster(question, ways, "fused", BATCHES)

    def polar(self, given: str, *, width: int, feedforward_dim: int, bf16: bool) -> Choice:
        """auto: on a CPU in float32 what is faster on the matrices of blocks, elsewhere PLAIN.

        Wider matrices are taken to gain as much as those of WIDEST_MATRIX and the same proportions.
        """
        if given != "auto":
            return Choice(given)
        if self.accelerator != "cpu" or bf16:
            return Choice(PLAIN)
        rows = min(width, WIDEST_MATRIX)
        columns = max(1, feedforward_dim * rows // width)
        shapes = ((rows, rows), (min(rows, columns), max(rows, columns)))
        ways = {name: orthogonalizing(POLARS[name], shapes) for name in FAST_POLARS}
        question = f"Muon, width {rows}, feed-forward {columns}"
        return self._faster(question, ways, PLAIN, MATRICES)

    def num_threads(self, given: int | str, width: int) -> Choice:
        """auto on a CPU: all of the process's threads, or fewer if a layer trains faster so."""
        most = torch.get_num_threads()
        if given != "auto":
            return Choice(str(given))
        alone = self.devices == 1 and self.num_nodes == 1
        if self.accelerator != "cpu" or most == 1 or not alone:
            return Choice(str(most))
        width = min(width, WIDEST)
        numbers = sorted({1, (most + 1) // 2, most}, reverse=True)
        ways = {str(number): _with_threads(number, training_products(width)) for number in numbers}
        question = f"threads, width {width}"
        return self._faster(
            question, ways, str(most), MANY_ROWS, WORTH_FEWER_THREADS, needs_free_cores=True
        )

    def _faster(
        self,
        question: str,
        ways: Mapping[str, Candidate],
        plain: str,
        sizes: tuple[int, ...] = ROWS,
        worth_changing: float = WORTH_CHANGING,
        needs_free_cores: bool = False,
    ) -> Choice:
        shared = self.devices != 1
        several = shared or self.num_nodes > 1
        together = Choice(plain, "which all processes can take" if several else "")
        if self.num_nodes > 1:
            return together
        folder = cache_folder(self.cache_dir)
        seconds = seconds_of(
            question, ways, folder, sizes, shared=shared, needs_free_cores=needs_free_cores
        )
        return together if seconds is None else fastest(seconds, plain, worth_changing)


def training_products(width: int, bf16: bool = False) -> Candidate:
    """A feed-forward layer of this width, forward and backward, as a run computes it."""
    generator = torch.Generator().manual_seed(0)
    shapes = ((4 * width, width), (width, 4 * width))
    weights = [torch.randn(shape, generator=generator).requires_grad_() for shape in shapes]

    def work(num_rows: int) -> None:
        x = torch.ones(num_rows, width)
        with torch.enable_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            for weight in weights:
                x = F.linear(x, weight)
        torch.autograd.grad(x.sum(), weights)

    return work


def training_attention(
    attend: Callable[..., Tensor],
    shape: tuple[int, int, int],
    dropout: float,
    bf16: bool,
    shared_by: int = 1,
) -> Candidate:
    """Causal attention of heads, positions and head_dim, forward and backward.

    `shared_by` heads of queries share one of keys and values.
    """
    dtype = torch.bfloat16 if bf16 else torch.float32
    heads, *size = shape

    def work(num_rows: int) -> None:
        numbers = (heads, heads // shared_by, heads // shared_by)
        qkv = [
            torch.full((num_rows, number, *size), 0.1, dtype=dtype, requires_grad=True)
            for number in numbers
        ]
        with torch.enable_grad(), torch.random.fork_rng(devices=[]):  # dropout draws numbers
            result = attend(*qkv, None, dropout, causal=True)
            torch.autograd.grad(result.sum(), qkv)

    return work


def orthogonalizing(polar: Polar, shapes: Sequence[tuple[int, int]]) -> Candidate:
    """A step of Muon for so many matrices of each shape."""
    generator = torch.Generator().manual_seed(0)
    matrices = [torch.randn(shape, generator=generator) for shape in shapes]

    def work(num_matrices: int) -> None:
        for matrix in matrices:
            polar(matrix.repeat(num_matrices, 1, 1))

    return work


def _with_threads(number: int, work: Candidate) -> Candidate:
    def threaded(size: int) -> None:
        torch.set_num_threads(number)
        work(size)

    return threaded
