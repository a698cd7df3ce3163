"""Whether a run on a CPU compiles its model: tried once with the model itself, then remembered."""

import json
import logging
import math
from functools import partial
from hashlib import sha256

from transformer.config.keys import Config
from transformer.run.compiling import (
    COMPILED,
    COST,
    PRODUCTS,
    TRIAL_SECONDS,
    WITHOUT,
    Trial,
    compile_model,
    may_save,
)
from transformer.system.cache import cache_folder
from transformer.system.devices import resolve_accelerator
from transformer.system.errors import is_out_of_memory
from transformer.system.processes import runs_alone
from transformer.system.speed import WORTH_CHANGING, Choice, recalled, remember
from transformer.tasks.task_run import TaskRun
from transformer.training.estimates import ENDLESS_STEPS
from transformer.training.hardware import has_compiler
from transformer.training.lightning_module import LanguageModule

TRIED_FROM_STEPS = 50  # with fewer, not even the time of a step is taken
# About, of the time of compiling, where the code is on the disk: counts until a run has timed it.
AGAIN_SHARE = 1 / 3
AGAIN = "compiling again"

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


def _choose(
    config: Config, module: LanguageModule, task: TaskRun, num_batches: int, may_try: bool
) -> Choice:
    question, folder = _question(config, module, task), cache_folder(config.cache_dir)
    trial = Trial(config, module, task, partial(_run_seconds, config, num_batches))
    known = recalled(question, (WITHOUT, COMPILED, COST), folder)
    if known is None and not may_try:
        return Choice("false")
    try:
        seconds = known or _tried(trial, question)
        if isinstance(seconds, Choice):
            return seconds
        again = recalled(f"{question}, {AGAIN}", [AGAIN], folder)
        seconds = seconds | (again or {AGAIN: AGAIN_SHARE * seconds[COST]})
        choice = decide(seconds, trial.run_seconds(seconds[WITHOUT]))
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


def _tried(trial: Trial, question: str) -> dict[str, float] | Choice:
    """The seconds of a trial, or the choice for a run that is too short to try.

    A trial counts towards `max_minutes`: then it must promise twice as much.
    """
    config, folder = trial.config, cache_folder(trial.config.cache_dir)
    least = 2 * TRIAL_SECONDS if config.max_minutes is not None else TRIAL_SECONDS

    def may_pay(step_seconds: float, products_share: float = 0.0) -> bool:
        return may_save(trial.run_seconds(step_seconds), least, lambda: products_share)

    asked = f"{question}, a step"  # so that a repeat of a short run times none
    plain = recalled(asked, (WITHOUT, PRODUCTS), folder)
    if plain is None:
        plain = trial.plain_seconds(may_pay)
        if PRODUCTS not in plain:
            return Choice("false")
        remember(asked, plain, folder)
    step_seconds, share = plain[WITHOUT], plain[PRODUCTS] / plain[WITHOUT]
    if not may_pay(step_seconds, share) or not trial.has_time(step_seconds):
        return Choice("false")
    if not has_compiler("cpu"):
        return Choice("false", "no compiler was found")
    log.info("compile: trying whether it pays, once for this model ...")
    seconds = trial.compiled()
    remember(question, seconds, folder)
    return seconds


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
