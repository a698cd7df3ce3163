"""What several test files share: seeded randomness, float64, and a small model of each kind."""

import gc
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

from tests import shape_checks

# Tensors here are tiny: threads gain nothing, and on a busy machine they wait for each other, which
# makes training steps ten times as slow. Before torch is imported; subprocesses inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Each worker and each subprocess would else compile the tests and the package anew, where the
# environment asks for no bytecode, as many images of containers do.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

if TYPE_CHECKING:
    import torch

    from transformer.models.base import SequenceModel
    from transformer.models.encoder_decoder import EncoderDecoder
    from transformer.models.gpt import GPT


shape_checks.install()

# Properties are tried on the same examples every time; each example overwrites a test's files.
settings.register_profile(
    "tests",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
settings.load_profile("tests")


@pytest.fixture(scope="session", autouse=True)
def own_cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Not the user's: for what a run remembers of this machine, here after a shorter look."""
    from transformer.system import speed

    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("platformdirs.user_cache_path", lambda name: folder / name)
        patch.setattr(speed, "LEAST_SECONDS", 0.0)
        yield


def pytest_collectstart() -> None:
    """As a run imports Lightning: in half the time."""
    from transformer.system.lean_imports import import_lightning

    import_lightning()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first: a worker that begins one last keeps the others waiting."""
    items.sort(key=expected_seconds, reverse=True)


def expected_seconds(item: pytest.Item) -> float:
    mark = item.get_closest_marker("slow")
    return mark.kwargs.get("seconds", 0) if mark else 0


def pytest_collection_finish() -> None:
    """What is imported stays: Python need not look for garbage there again and again."""
    gc.collect()
    gc.freeze()


BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def load_benchmark(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """A script of benchmarks/ by name, as Python starts it: its neighbours beside it."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))

    def load(name: str) -> Any:
        spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def generator() -> "torch.Generator":
    import torch

    return torch.Generator().manual_seed(0)


@pytest.fixture
def float64() -> Iterator[None]:
    """Tensors and modules made in the test are float64, for laws that hold to 1e-10 there."""
    import torch

    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def all_float64(float64: None) -> Iterator[None]:
    """As float64, and casts to fewer bits, other people's among them, give float64 too."""
    import torch
    from torch.overrides import TorchFunctionMode

    casts = {torch.Tensor.float: torch.Tensor.double, torch.Tensor.bfloat16: torch.Tensor.double}
    narrow = (torch.float32, torch.bfloat16)

    def widened(argument: Any) -> Any:
        is_narrow = isinstance(argument, torch.dtype) and argument in narrow
        return torch.float64 if is_narrow else argument

    class Widened(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            kwargs = {name: widened(value) for name, value in (kwargs or {}).items()}
            return casts.get(func, func)(*map(widened, args), **kwargs)

    with Widened():
        yield


@pytest.fixture
def float32_bound() -> Callable[..., float]:
    """How far two programs may be apart, each of which adds up `num_sums` numbers in float32.

    A sum is rounded by half a unit in the last place at most, 2^-24 of its size: num_sums times,
    in each of the two. Roundings cancel, so that programs are much closer on any processor; the
    rest is room for the layers that make an error larger.
    """
    import torch

    def bound(num_sums: int, values: Any) -> float:
        largest = torch.as_tensor(values, dtype=torch.float64).abs().max().item()
        return num_sums * torch.finfo(torch.float32).eps * largest  # eps is 2^-23

    return bound


def count_sums(model: "SequenceModel") -> int:
    """Additions one after the other, from a token to a logit.

    A linear layer adds up what comes in, a norm its width; attention a head's width, and positions.
    """
    from torch import nn

    count = 0
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            count += layer.in_features
        elif isinstance(layer, nn.LayerNorm | nn.RMSNorm):
            count += layer.normalized_shape[-1]
        elif hasattr(layer, "num_heads"):
            head_dim = model.architecture["embedding_dim"] // layer.num_heads
            count += head_dim + model.block_size + 1
    return count


@pytest.fixture
def same_logits(float32_bound: Callable[..., float]) -> Callable[..., None]:
    """Compares a model's logits with those of the same mathematics: float64 to 1e-10."""
    import torch

    def compare(ours: "torch.Tensor", theirs: "torch.Tensor", model: "SequenceModel") -> None:
        exact = ours.dtype == torch.float64
        bound = 1e-10 if exact else float32_bound(count_sums(model), theirs)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=bound)

    return compare


def draw_weights(model: "SequenceModel") -> None:
    """Far larger ones than at the start, so that no part hides, and the same every time.

    Biases and the gains of norms are drawn too: at 0 and 1 they could be left out.
    """
    import torch

    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            gain = 1.0 if name.endswith("norm.weight") else 0.0
            parameter.normal_(gain, 0.3, generator=generator)


@pytest.fixture
def make_gpt() -> Callable[..., "GPT"]:
    """GPTs in eval mode with drawn weights."""
    from transformer.models.gpt import GPT

    def make(**changes: Any) -> GPT:
        shape = {"vocab_size": 13, "block_size": 7, "embedding_dim": 30, "num_heads": 3}
        model = GPT(**shape | {"num_blocks": 2} | changes)
        draw_weights(model)
        return model.eval()

    return make


@pytest.fixture
def make_encoder_decoder() -> Callable[..., "EncoderDecoder"]:
    """Encoder-decoders in eval mode with drawn weights."""
    from transformer.models.encoder_decoder import EncoderDecoder

    def make(**changes: Any) -> EncoderDecoder:
        sizes = {"vocab_size": 13, "source_vocab_size": 17, "block_size": 7}
        shape = {"embedding_dim": 30, "num_heads": 3, "num_blocks": 2}
        model = EncoderDecoder(**sizes | shape | changes)
        draw_weights(model)
        return model.eval()

    return make


@pytest.fixture(scope="session")
def not_drawn() -> dict[str, Callable]:
    """Half of a tiny run is drawing and packing its pictures and estimating its memory.

    These have tests of their own, and so has what a whole run shows: `finished` draws all of it.
    """
    import numpy as np

    from transformer.inspection import validation_pictures as pictures
    from transformer.run.footprint import Footprint

    pixel = SimpleNamespace(paint=lambda maps: np.zeros((1, 1, 3), np.uint8))
    return {
        f"{pictures.__name__}.attention_picture": lambda *_: pixel,
        f"{pictures.__name__}.similarity_picture": lambda *_: pixel,
        "transformer.run.estimation.step_memory": lambda step: Footprint({}, (), 0),
    }
