"""Imports the parts of libraries that a run needs, without the others.

Lightning imports torch's compiler, all functions of torchmetrics, and matplotlib for their plots;
torch's counter of memory imports the compiler too, and tensors that are spread over devices.
Together that takes longer than torch itself, before the first step of a run that uses none of it.
"""

import gc
import importlib
import logging
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.metadata import version
from importlib.util import find_spec
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.distributed._tools.mem_tracker import MemTracker

COMPILER, METRICS = "torch._dynamo", "torchmetrics"
PLOTS = "torchmetrics.utilities.plot"
# What Lightning takes from torchmetrics, by where it is defined.
LEAN = {"Metric": "torchmetrics.metric", "MetricCollection": "torchmetrics.collections"}


def import_lightning() -> None:
    """Does nothing if Lightning was imported before."""
    if "pytorch_lightning" in sys.modules:
        return
    importlib.import_module("torch")
    if METRICS not in sys.modules:
        sys.modules[METRICS] = LazyMetrics()
        sys.modules[PLOTS] = LazyPlots()
    with standing_in(COMPILER, OptimizedModule=OptimizedModule, disable=unchanged):
        importlib.import_module("pytorch_lightning")
    gc.freeze()  # what was imported stays: no collection has to look at it again


@contextmanager
def without_collecting() -> Iterator[None]:
    """A block of imports, which make objects that stay: looking for others takes a fifth of it."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


@contextmanager
def memory_tracker() -> "Iterator[type[MemTracker]]":
    """torch's MemTracker, for this block and for models that are neither sharded nor compiled."""
    tools, tensors = "torch.distributed._tools", "torch.distributed.tensor"
    not_compiled = SimpleNamespace(_is_in_optimized_module=lambda: False)
    with (
        standing_in(tools),
        standing_in(tensors, DTensor=type("DTensor", (), {})),
        standing_in(COMPILER, eval_frame=not_compiled, disable=unchanged, graph_break=lambda: None),
    ):
        yield importlib.import_module(f"{tools}.mem_tracker").MemTracker


def unchanged(function: Any, *_: Any, **__: Any) -> Any:
    """In place of `torch._dynamo.disable`, which keeps the compiler away from a function."""
    return function


@contextmanager
def standing_in(name: str, **contents: Any) -> Iterator[None]:
    """In this block, the module `name` has `contents` alone, unless it was imported before."""
    if name in sys.modules:
        yield
        return
    before = set(sys.modules)
    module = ModuleType(name)
    module.__dict__.update(contents, __path__=_path(name))  # so that its parts can be imported
    sys.modules[name] = module
    try:
        yield
    finally:
        for other in set(sys.modules) - before:
            if other == name or other.startswith(f"{name}."):
                del sys.modules[other]


def _path(package: str) -> list[str]:
    spec = find_spec(package)
    assert spec is not None
    return list(spec.submodule_search_locations or ())


class LazyMetrics(ModuleType):
    """torchmetrics, which imports the rest of itself when it is asked for more than `LEAN`."""

    def __init__(self) -> None:
        super().__init__(METRICS)
        spec = find_spec(METRICS)
        assert spec is not None
        self.__spec__, self.__file__, self.__loader__ = spec, spec.origin, spec.loader
        self.__path__ = _path(METRICS)
        self.__version__ = version(METRICS)
        self._is_whole = False
        self._logger = logging.getLogger(METRICS)  # which its parts ask for

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or self._is_whole:
            raise AttributeError(f"module {METRICS!r} has no attribute {name!r}")
        if name in LEAN:
            importlib.import_module("torchmetrics.utilities.checks")  # imports the others in order
            return getattr(importlib.import_module(LEAN[name]), name)
        self._is_whole = True
        assert self.__spec__ is not None
        assert self.__spec__.loader is not None
        self.__spec__.loader.exec_module(self)
        return getattr(self, name)


class LazyPlots(ModuleType):
    """The plots of torchmetrics: the module itself, with matplotlib, when one is asked for."""

    def __init__(self) -> None:
        super().__init__(PLOTS)
        self._AX_TYPE = self._PLOT_OUT_TYPE = object  # the types in the signature of Metric.plot

    def plot_single_or_multi_val(self, *args: Any, **settings: Any) -> Any:
        return self._whole().plot_single_or_multi_val(*args, **settings)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"module {PLOTS!r} has no attribute {name!r}")
        return getattr(self._whole(), name)

    def _whole(self) -> ModuleType:
        if sys.modules[PLOTS] is self:
            del sys.modules[PLOTS]
        return importlib.import_module(PLOTS)


class _IsOptimized(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, getattr(sys.modules.get(COMPILER), "OptimizedModule", ()))


class OptimizedModule(metaclass=_IsOptimized):
    """Has the instances of torch's own class, which there are once a module was compiled."""


def without_compiling() -> AbstractContextManager:
    """A block in which a compiled model runs as it would without."""
    if COMPILER not in sys.modules:  # so no model was compiled
        return nullcontext()
    from torch.compiler import set_stance

    return set_stance("force_eager")


def scoring(device_type: str) -> AbstractContextManager:
    """A block that only scores a model: a CPU would take longer to compile that than it saves."""
    return without_compiling() if device_type == "cpu" else nullcontext()


def leave_optimizers_alone() -> None:
    """Keeps torch from importing its compiler just to say that it must not compile an optimizer.

    See `_disable_dynamo` in torch/_compile.py, which looks for this attribute.
    """
    from torch.optim import Optimizer

    for method in vars(Optimizer).values():
        if (function := getattr(method, "__wrapped__", None)) is not None:
            vars(function).setdefault("__dynamo_disable", function)
