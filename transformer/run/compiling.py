"""Whether a run on a CPU compiles its model: tried with the model itself, then remembered."""

import json
import logging
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import sha256
from tempfile import TemporaryFile
from typing import Any

import torch
import torch.utils.deterministic
from torch.utils._python_dispatch import TorchDispatchMode

from transformer.config.keys import Config
from transformer.models.base import SequenceModel
from transformer.system.cache import cache_folder
from transformer.system.devices import resolve_accelerator
from transformer.system.errors import is_out_of_memory
from transformer.system.lean_imports import without_compiling
from transformer.system.processes import runs_alone
from transformer.system.speed import WORTH_CHANGING, Choice, recalled, remember, remembered
from transformer.tasks.task_run import TaskRun
from transformer.training.estimates import ENDLESS_STEPS
from transformer.training.hardware import has_compiler
from transformer.training.lightning_module import LanguageModule

TRIAL_SECONDS = 15.0  # of a small model, about; a trial is made where more may be saved
SAVED_SHARE = 0.5  # about, of the time of a step outside of matrix products, which stay as they are
TRIED_FROM_STEPS = 50  # with fewer, not even the time of a step is taken
TIMED_STEPS = 4
# About, of the time of compiling, where the code is on the disk: counts until a run has timed it.
AGAIN_SHARE = 1 / 3
WITHOUT, COMPILED, PRODUCTS = "not compiled", "compiled", "products"
COST, AGAIN = "compiling", "compiling again"

log = logging.getLogger(__name__)


def settle_compile(
    config: Config, module: LanguageModule, task: TaskRun, total_steps: int, *, trial: bool = True
) -> Config:
    """Settles `compile: auto` of a run on one CPU: true if it saves more time than it takes.

    If so, the model is compiled afterwards. Without a `trial` it is false for a model that has not
    been tried before. On other devices auto stays: see `resolve_compile`.
    """
    if config.compile != "auto" or resolve_accelerator(config.accelerator) != "cpu":
        return config
    num_batches = total_steps * config.accumulate_grad_batches
    alone = runs_alone(config.devices, config.num_nodes, "cpu")
    choice = Choice("false")
    if alone and not task.shapes_vary and total_steps >= TRIED_FROM_STEPS:
        choice = _choose(config, module, task, num_batches, trial)
    config = config.model_copy(update={"compile": choice.name == "true"})
    module.metadata["config"] = config.resolved()
    if choice.why:
        log.info("compile: %s", choice)
    return config


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


def _choose(
    config: Config, module: LanguageModule, task: TaskRun, num_batches: int, may_try: bool
) -> Choice:
    question, folder = _question(config, module, task), cache_folder(config.cache_dir)
    trial = Trial(config, module, task)
    known = recalled(question, (WITHOUT, COMPILED, COST), folder)
    if known is None and not may_try:
        return Choice("false")
    try:
        seconds = known or _tried(trial, num_batches, question)
        if isinstance(seconds, Choice):
            return seconds
        again = recalled(f"{question}, {AGAIN}", [AGAIN], folder)
        seconds = seconds | (again or {AGAIN: AGAIN_SHARE * seconds[COST]})
        choice = decide(seconds, _run_seconds(config, num_batches, seconds[WITHOUT]))
        if choice.name == "false":
            module.model._compiled_call_impl = None
            return choice
        compile_model(module.model, config.cache_dir)
        if known and not again and may_try:  # the code was on the disk, if nobody took it away
            again = {AGAIN: trial.seconds_of_compiling(seconds[COMPILED])}
            remember(f"{question}, {AGAIN}", again, folder)
        return choice
    except Exception as error:
        module.model._compiled_call_impl = None
        if is_out_of_memory(error):  # the run will say it, with what helps
            return Choice("false")
        return Choice("false", f"compiling failed ({type(error).__name__})")


def _tried(trial: "Trial", num_batches: int, question: str) -> dict[str, float] | Choice:
    """The seconds of a trial, or the choice for a run that is too short to try.

    A trial counts towards `max_minutes`: then it must promise twice as much.
    """
    config = trial.config
    least = 2 * TRIAL_SECONDS if config.max_minutes is not None else TRIAL_SECONDS
    plain = _plain_seconds(trial, question)
    run_seconds = _run_seconds(config, num_batches, plain[WITHOUT])
    if not may_save(run_seconds, least, lambda: plain[PRODUCTS] / plain[WITHOUT]):
        return Choice("false")
    if not has_compiler("cpu"):
        return Choice("false", "no compiler was found")
    log.info("compile: trying whether it pays, once for this model, up to a minute ...")
    seconds = trial.compiled()
    remember(question, seconds, cache_folder(config.cache_dir))
    return seconds


def _plain_seconds(trial: "Trial", question: str) -> Mapping[str, float]:
    """Of a step and of its products; remembered, so that a repeat of a short run chooses alike."""

    def measure() -> dict[str, float]:
        seconds = trial.seconds_of_a_step()  # first, as the first step is slow
        return {WITHOUT: seconds, PRODUCTS: min(trial.seconds_of_products() for _ in range(2))}

    folder = cache_folder(trial.config.cache_dir)
    return remembered(f"{question}, a step", (WITHOUT, PRODUCTS), folder, measure)


def may_save(run_seconds: float, least: float, products_share: Callable[[], float]) -> bool:
    """Whether compiling promises to save so many seconds; asks for the share only if need be."""
    most = SAVED_SHARE * run_seconds
    return most >= least and most * max(0.0, 1 - products_share()) >= least


def decide(seconds: dict[str, float], run_seconds: float) -> Choice:
    """`run_seconds` are those of the run's training, not compiled.

    A run pays for compiling with code that is on the disk: to put it there was the trial's price.
    """
    ratio, cost = seconds[WITHOUT] / seconds[COMPILED], seconds[AGAIN]
    saved = run_seconds * (1 - 1 / ratio)
    if ratio >= WORTH_CHANGING and saved > cost:
        return Choice("true", f"{ratio:.1f} x as fast here, for {cost:.0f} s of compiling")
    if ratio >= WORTH_CHANGING:
        return Choice("false", f"would save {saved:.0f} s here and take {cost:.0f} s")
    return Choice("false", f"{ratio:.1f} x as fast with it here")


def _run_seconds(config: Config, num_batches: int, seconds: float) -> float:
    steps = num_batches * seconds if num_batches < ENDLESS_STEPS else math.inf
    return min(steps, 60 * (config.max_minutes or math.inf))


def _question(config: Config, module: LanguageModule, task: TaskRun) -> str:
    model = module.model
    architecture = json.dumps(model.architecture, sort_keys=True)
    facts = [f"{type(model).__name__} {sha256(architecture.encode()).hexdigest()[:12]}"]
    facts += [f"batch {tuple(task.largest_shapes[0])}", config.precision, config.attention]
    facts += ["r_drop"] * (config.r_drop > 0) + ["recomputed"] * config.activation_checkpointing
    if config.lora_rank is not None:
        facts.append(f"LoRA {config.lora_rank} beside {config.base_precision}")
        facts += ["with dropout"] * (config.lora_dropout > 0)
    facts += ["smoothed"] * (config.label_smoothing > 0)
    return "compile, " + ", ".join(facts)


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
