"""How long a training step takes on this machine, for models of any width and number of blocks.

A few sizes are timed once and remembered; the others follow from them.
"""

import json
import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple

import torch

from transformer.config.keys import Config
from transformer.data.text.settings import READING_KEYS
from transformer.run import assembly
from transformer.run.compiling import (
    COST,
    PRODUCTS,
    TimedProducts,
    compile_model,
    may_save,
    repeatable,
)
from transformer.run.timing import now
from transformer.system.cache import cache_folder
from transformer.system.devices import device_name, resolve_accelerator
from transformer.system.speed import Answer, cores_are_free, recalled, remember, remembered
from transformer.tasks.base import Data
from transformer.tasks.task_run import TaskRun
from transformer.training.hardware import has_compiler
from transformer.training.lightning_module import LanguageModule
from transformer.training.optimization.optimizers import make_optimizer
from transformer.training.settings import OptimizerSettings

# Width and blocks of the models that are timed.
TIMED = ((64, 2), (128, 1), (128, 2), (256, 1), (256, 2))
USUAL = (128, 2)  # is also timed with dropout
DROPOUT = "dropping"
TIMED_STEPS = 3
COMPILED_SIZE = USUAL  # is also timed after it was compiled
STEP = "a step"
# Of the seconds of compiling COMPILED_SIZE, about what any model takes, whatever its blocks: on two
# busy cores, one block took 27 s, two 30, four 35, and six 41.
FIXED_SHARE = 0.8
ASKING_SECONDS = 30.0  # a plan that may save so many tries compiling, which costs some of them
# Keys that change no step: places, and when a run ends.
PLACES_AND_ENDS = (
    *("runs_dir", "run_name", "cache_dir", "sample_prompt"),
    *("max_minutes", "max_steps", "epochs", "patience", "race"),
)
# How the files of a corpus are read.
READING = (*READING_KEYS, "val_path", "test_path", "val_max_tokens", "token_files_from_mb")
# The numbers of heads that are timed need not be divisible by a given one of keys and values.
OWN_HEADS = {"num_kv_heads": "auto", "head_dim": "auto"}
Size = tuple[int, int]
_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}

log = logging.getLogger(__name__)


class Compiling(NamedTuple):
    """What it brings on a CPU: a compiled step is `gain` times as fast, the optimizer's included.

    Compiling COMPILED_SIZE takes `seconds`.
    """

    gain: float
    seconds: float

    def cost(self, num_blocks: int) -> float:
        """The seconds of compiling a model of so many blocks: most of them do not depend on it."""
        _, timed_blocks = COMPILED_SIZE
        return self.seconds * (FIXED_SHARE + (1 - FIXED_SHARE) * num_blocks / timed_blocks)


class StepSeconds:
    """The seconds of a training step of a model of `width` and `num_blocks`.

    Between two timed widths, and beyond, seconds grow as a power of the width. A block more costs
    what it costs at the timed width that is nearest. With dropout, a step takes `dropout_cost`
    times as long. `compiling` is None if nobody knows here.
    """

    def __init__(
        self,
        seconds: Mapping[Size, float],
        dropout_cost: float = 1.0,
        compiling: Compiling | None = None,
    ) -> None:
        self.seconds = seconds
        self.dropout_cost = dropout_cost
        self.compiling = compiling

    def __call__(self, width: int, num_blocks: int) -> float:
        widths = sorted(width for width, num_blocks in self.seconds if num_blocks == 2)
        upper = next((n for n, each in enumerate(widths[1:-1], 1) if width <= each), -1)
        below, above = widths[upper - 1], widths[upper]
        low, high = self.seconds[below, 2], self.seconds[above, 2]
        power = math.log(high / low) / math.log(above / below)
        two = low * (width / below) ** power
        return two * (1 + (num_blocks - 2) * self._share_of_a_block(width))

    def _share_of_a_block(self, width: int) -> float:
        """Of the step of a model with two blocks."""
        singles = [each for each, num_blocks in self.seconds if num_blocks == 1]
        nearest = min(singles, key=lambda each: abs(math.log(each / width)))
        share = 1 - self.seconds[nearest, 1] / self.seconds[nearest, 2]
        return min(max(share, 0.1), 0.5)


def timed_steps(settled: Config, data: Data) -> StepSeconds:
    """Needs a config that is settled. Its dropout stands for that of the steps with dropout.

    Compiling is tried for plans whose minutes promise to save enough, and for those of any time.
    """
    task = assembly.build_task(settled, data)
    names = {f"{width} x {num_blocks}": (width, num_blocks) for width, num_blocks in TIMED}
    folder, question = cache_folder(settled.cache_dir), _question(settled, task)
    seconds = recalled(question, (*names, DROPOUT), folder)
    if seconds is None:
        dropout = settled.resolved().get("dropout") or 0.1
        plain = settled.model_copy(update={"dropout": 0.0, "r_drop": 0.0})
        seconds = {name: seconds_of_a_step(sized(plain, *names[name]), task) for name in names}
        dropped = settled.model_copy(update={"dropout": dropout, "r_drop": 0.0})
        seconds[DROPOUT] = seconds_of_a_step(sized(dropped, *USUAL), task)
        sure = resolve_accelerator(settled.accelerator) != "cpu" or cores_are_free()
        remember(question, Answer(seconds, sure=sure), folder)
    by_size = {size: seconds[name] for name, size in names.items()}
    compiling = _compiling(settled, task, by_size)
    return StepSeconds(by_size, max(1.0, seconds[DROPOUT] / by_size[USUAL]), compiling)


def _compiling(
    settled: Config, task: TaskRun, plain_seconds: Mapping[Size, float]
) -> Compiling | None:
    """None if it is unknown, or a run would not ask for it."""
    on_cpu = resolve_accelerator(settled.accelerator) == "cpu"
    if settled.compile != "auto" or not on_cpu or task.shapes_vary:
        return None
    width, num_blocks = COMPILED_SIZE
    folder = cache_folder(settled.cache_dir)
    question = f"compiled {width} x {num_blocks}, {_question(settled, task)}"
    seconds = recalled(question, (STEP, COST), folder)
    if seconds is None:
        plain = settled.model_copy(update={"dropout": 0.0, "r_drop": 0.0})
        config, run_seconds = sized(plain, *COMPILED_SIZE), 60 * (settled.max_minutes or math.inf)

        def share() -> float:

            def measure() -> Answer:
                answer = {PRODUCTS: products_share(config, task)}
                return Answer(answer, sure=cores_are_free())

            return remembered(f"products, {question}", [PRODUCTS], folder, measure)[PRODUCTS]

        if not may_save(run_seconds, ASKING_SECONDS, share):
            return None
        seconds = compiled_seconds(config, task)
        if seconds is None:
            return None
        remember(question, Answer(seconds, sure=cores_are_free()), folder)
    return Compiling(plain_seconds[COMPILED_SIZE] / seconds[STEP], seconds[COST])


def products_share(config: Config, task: TaskRun) -> float:
    """Of a step that is not compiled, the part in operations that compiling leaves as they are."""
    timed = TimedProducts()
    steps = _seconds_of_steps(config.model_copy(update={"compile": False}), task)
    next(steps)  # the first is slow
    with timed:
        next(steps)
    return timed.seconds / min(steps)


def compiled_seconds(config: Config, task: TaskRun) -> dict[str, float] | None:
    """Of a step of a compiled model, and of compiling it; None if that is impossible here."""
    if not has_compiler("cpu"):
        return None
    config = config.model_copy(update={"compile": True})
    try:
        times = list(_seconds_of_steps(config, task))
    except Exception as error:  # a compiler can fail in many ways
        log.info("compile: failed (%s), so the plan does without", type(error).__name__)
        return None
    least = min(times)
    return {STEP: least, COST: max(sum(times) - len(times) * least, 1e-3)}


def sized(config: Config, width: int, num_blocks: int) -> Config:
    changes = {"embedding_dim": width, "num_heads": width // 32, "num_blocks": num_blocks}
    return config.model_copy(update=changes | OWN_HEADS)


def _question(config: Config, task: TaskRun) -> str:
    device = torch.device(resolve_accelerator(config.accelerator))
    left_out = ("lr", "seed", "dropout", "weight_decay", "data_path", *READING)  # take no time
    facts = [f"{size} symbols" for size in task.data.sizes.values()]
    facts.append(" and ".join(str(shape) for shape in task.typical_shapes))
    recipe = recipe_hash(sized(config, *USUAL), *left_out)  # as all sizes are timed
    facts.append(f"recipe {recipe}, {device_name(device)}")
    return f"training steps, {', '.join(facts)}"


def recipe_hash(config: Config, *left_out: str) -> str:
    """Of the keys on which a step depends, without those that are left out."""
    kept = config.resolved().keys() - {*PLACES_AND_ENDS, *left_out}
    recipe = {key: value for key, value in config.resolved().items() if key in kept}
    return sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:12]


def seconds_of_a_step(config: Config, task: TaskRun) -> float:
    """On a batch of typical size, with random tokens. Needs a config that is settled."""
    return min(_seconds_of_steps(config.model_copy(update={"compile": False}), task))


def _seconds_of_steps(config: Config, task: TaskRun) -> Iterator[float]:
    device = torch.device(resolve_accelerator(config.accelerator))
    with torch.random.fork_rng(devices=[]), repeatable(config):
        module = assembly.build_module(config, task, TIMED_STEPS + 1).to(device)
        if config.compile is True:
            compile_model(module.model, config.cache_dir)
        size = min(task.data.sizes.values())
        batch = [torch.randint(size, shape).to(device) for shape in task.typical_shapes]
        bf16 = config.precision == "bf16"
        optimizer = make_optimizer(module.model, config.group(OptimizerSettings), bf16=bf16)
        for _ in range(1 + TIMED_STEPS):
            yield _step(module, optimizer, batch, _AUTOCAST.get(config.precision))


def _step(
    module: LanguageModule,
    optimizer: torch.optim.Optimizer,
    batch: Sequence[torch.Tensor],
    dtype: torch.dtype | None,
) -> float:
    device = batch[0].device
    started_at = time.perf_counter()
    with torch.autocast(device.type, dtype, enabled=dtype is not None):
        loss = module.training_step(batch, 0)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return now(device) - started_at
