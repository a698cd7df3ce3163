"""Compiling a model in place, and trying what it brings with a run's own steps."""

import math
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

# Of a model with few blocks, about; a trial is made where more may be saved. With more blocks than
# FEW_BLOCKS there is as much more to compile.
TRIAL_SECONDS, FEW_BLOCKS = 15.0, 6
SAVED_SHARE = 0.5  # about, of the time of a step outside of matrix products, which stay as they are
TIMED_STEPS = 4  # fewer, where these are too slow for their run
# Of a run's seconds: all steps of a trial take so much at most. If the first one alone takes more
# than FIRST_SHARE, no other follows.
TRIAL_SHARE, FIRST_SHARE = 0.25, 0.05
STEPS_OF_A_TRIAL = 5  # at least: its products, two to compile, one each with and without compiling
FOLDER_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"
WITHOUT, COMPILED, PRODUCTS, COST = "not compiled", "compiled", "products", "compiling"


def compile_model(model: SequenceModel, cache_dir: str | None) -> None:
    """Compiles in place, so no name of a weight changes; keeps the compiled code for later runs."""
    from torch._inductor.runtime.cache_dir_utils import default_cache_dir

    # torch sets the variable to its own folder as soon as anything imports its compiler.
    if os.environ.get(FOLDER_VARIABLE, default_cache_dir()) == default_cache_dir():
        folder = cache_folder(cache_dir) / "compiled"
        with suppress(OSError):  # then torch's own folder, for temporary files, is left
            folder.mkdir(parents=True, exist_ok=True)
            TemporaryFile(dir=folder).close()  # a folder that is there may be read-only
            os.environ[FOLDER_VARIABLE] = str(folder)
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
    """Forward and backward passes of a run's own model, which leave no trace in the run.

    They take TRIAL_SHARE of `run_seconds` at most, which are those of the run with steps that take
    so many seconds. Only the first step can take more, and compiling, which nobody can foresee.
    """

    def __init__(
        self,
        config: Config,
        module: LanguageModule,
        task: TaskRun,
        run_seconds: Callable[[float], float] = lambda step_seconds: math.inf,
    ) -> None:
        self.module = module
        self.config = config
        self.run_seconds = run_seconds
        self.spent_seconds = 0.0
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
        seconds = time.perf_counter() - started_at
        self.spent_seconds += seconds
        return seconds

    def seconds_left(self, step_seconds: float) -> float:
        return TRIAL_SHARE * self.run_seconds(step_seconds) - self.spent_seconds

    def has_time(self, step_seconds: float, more_steps: int = 0) -> bool:
        """Whether compiling can be tried after so many more steps."""
        blocks = self.module.model.architecture.get("num_blocks", 1)
        compiling = TRIAL_SECONDS * max(1.0, blocks / FEW_BLOCKS)
        steps = (STEPS_OF_A_TRIAL + more_steps) * step_seconds
        return self.seconds_left(step_seconds) >= compiling + steps

    def plain_seconds(self, may_pay: Callable[[float], bool]) -> dict[str, float]:
        """Those of a step, and of its products.

        Without products if steps take so long that compiling cannot be tried, or may not pay.
        """
        least = self.step()
        if least > FIRST_SHARE * self.run_seconds(least) or not may_pay(least):
            return {WITHOUT: least}
        least = min(least, self.step())  # the first is slow
        for _ in range(2, TIMED_STEPS):
            if may_pay(least) and self.has_time(least, 1):
                least = min(least, self.step())
        if not may_pay(least) or not self.has_time(least):
            return {WITHOUT: least}
        products = self.seconds_of_products()
        if self.has_time(least):
            products = min(products, self.seconds_of_products())
        return {WITHOUT: least, PRODUCTS: max(products, 1e-9)}

    def seconds_of_products(self) -> float:
        """Those of a step that matrix products and torch's kernel of attention take."""
        with TimedProducts() as timed:
            self.step()
        return timed.seconds

    def seconds_of_compiling(self, compiled_seconds: float) -> float:
        """Of a model that is to be compiled in its first step; later steps take so many seconds."""
        first = self.step(compiled=True) + self.step(compiled=True)
        return max(first - 2 * compiled_seconds, 1e-3)

    def compiled(self) -> dict[str, float]:
        """The seconds of a step with and without compiling, in turn, and those of compiling."""
        compile_model(self.module.model, self.config.cache_dir)
        first = self.seconds_of_compiling(0.0)
        seconds = {WITHOUT: math.inf, COMPILED: math.inf}
        for number in range(TIMED_STEPS):
            plain = seconds[WITHOUT]
            if number > 0 and self.seconds_left(plain) < plain + seconds[COMPILED]:
                break
            with without_compiling():
                seconds[WITHOUT] = min(plain, self.step())
            seconds[COMPILED] = min(seconds[COMPILED], self.step(compiled=True))
        return seconds | {COST: max(first - 2 * seconds[COMPILED], 1e-3)}
