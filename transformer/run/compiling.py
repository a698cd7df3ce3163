"""Compiling a model in place, and trying what it brings with a run's own steps."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from tempfile import TemporaryFile
from typing import Any

import torch
import torch.utils.deterministic
from torch.utils._python_dispatch import TorchDispatchMode

from transformer.config.keys import Config
from transformer.models.base import SequenceModel
from transformer.system.cache import cache_folder
from transformer.system.devices import resolve_accelerator
from transformer.system.lean_imports import without_compiling
from transformer.tasks.task_run import TaskRun
from transformer.training.lightning_module import LanguageModule

TRIAL_SECONDS = 15.0  # of a small model, about; a trial is made where more may be saved
SAVED_SHARE = 0.5  # about, of the time of a step outside of matrix products, which stay as they are
TIMED_STEPS = 4
WITHOUT, COMPILED, PRODUCTS, COST = "not compiled", "compiled", "products", "compiling"


def compile_model(model: SequenceModel, cache_dir: str | None) -> None:
    """Compiles in place, so no name of a weight changes; keeps the compiled code for later runs."""
    folder = cache_folder(cache_dir) / "compiled"
    with suppress(OSError):  # then torch keeps it in the folder for temporary files
        folder.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=folder).close()  # a folder that is there may be read-only
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(folder))
    model.compile()


@contextmanager
def repeatable(config: Config) -> Iterator[None]:
    """In this block a model that is compiled for a CPU computes the same each time, as others do.

    Without it, threads add to the gradient of an embedding in the order in which they come.
    """
    compiled = config.compile is True and resolve_accelerator(config.accelerator) == "cpu"
    if not compiled or torch.are_deterministic_algorithms_enabled():
        yield
        return
    settings: Any = torch.utils.deterministic
    fills, settings.fill_uninitialized_memory = settings.fill_uninitialized_memory, False  # slow
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)
        settings.fill_uninitialized_memory = fills


def may_save(run_seconds: float, least: float, products_share: Callable[[], float]) -> bool:
    """Whether compiling promises to save so many seconds; asks for the share only if need be."""
    most = SAVED_SHARE * run_seconds
    return most >= least and most * max(0.0, 1 - products_share()) >= least


class TimedProducts(TorchDispatchMode):
    """Adds up the seconds of the operations that compiling leaves as they are."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        started_at = time.perf_counter()
        result = func(*args, **kwargs or {})
        if any(part in func.__name__ for part in ("mm", "linear", "attention")):
            self.seconds += time.perf_counter() - started_at
        return result


class Trial:
    """Forward and backward passes of a run's own model, which leave no trace in the run."""

    def __init__(self, config: Config, module: LanguageModule, task: TaskRun) -> None:
        self.module = module
        self.config = config
        generator = torch.Generator().manual_seed(0)
        size = min(task.data.sizes.values())
        self.batch = [
            torch.randint(size, shape, generator=generator) for shape in task.largest_shapes
        ]

    def step(self, *, compiled: bool = False) -> float:
        """Its seconds; a compiled one as repeatable as it will be in the run."""
        config = self.config.model_copy(update={"compile": compiled})
        started_at = time.perf_counter()
        with repeatable(config), torch.random.fork_rng(devices=[]):
            with torch.autocast("cpu", torch.bfloat16, enabled=config.precision == "bf16"):
                loss = self.module.training_step(self.batch, 0)
            loss.backward()
        self.module.zero_grad()
        return time.perf_counter() - started_at

    def seconds_of_a_step(self) -> float:
        return min(self.step() for _ in range(TIMED_STEPS))

    def seconds_of_products(self) -> float:
        """Those of a step that matrix products and torch's kernel of attention take."""
        with TimedProducts() as timed:
            self.step()
        return timed.seconds

    def seconds_of_compiling(self, compiled_seconds: float) -> float:
        """With steps that take so many seconds when they are compiled."""
        compile_model(self.module.model, self.config.cache_dir)
        first = self.step(compiled=True) + self.step(compiled=True)
        return max(first - 2 * compiled_seconds, 1e-3)

    def compiled(self) -> dict[str, float]:
        """The seconds of a step with and without compiling, in turn, and those of compiling."""
        first = self.seconds_of_compiling(0.0)
        times: dict[str, list[float]] = {WITHOUT: [], COMPILED: []}
        for _ in range(TIMED_STEPS):
            with without_compiling():
                times[WITHOUT].append(self.step())
            times[COMPILED].append(self.step(compiled=True))
        seconds = {name: min(values) for name, values in times.items()}
        return seconds | {COST: max(first - 2 * seconds[COMPILED], 1e-3)}
