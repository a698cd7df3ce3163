"""Whether a run on a CPU compiles its model: tried once with the model itself, then remembered."""

import json
import logging
import math
from collections.abc import Mapping
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
from transformer.system.speed import (
    UNSURE_NOTE,
    WORTH_CHANGING,
    Answer,
    Choice,
    cores_are_free,
    is_sure,
    recalled,
    remember,
)
from transformer.tasks.task_run import TaskRun
from transformer.training.estimates import ENDLESS_STEPS
from transformer.training.hardware import has_compiler
from transformer.training.lightning_module import LanguageModule

TRIED_FROM_STEPS = 50  # with fewer, not even the time of a step is taken
# About, of the time of compiling, where the code is on the disk: counts until a run has timed it.
AGAIN_SHARE = 1 / 3
AGAIN = "compiling again"
NOT_TRIED, FAILED = "not tried", "failed"  # names in the file, with any number

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
    if recalled(f"{question}, {FAILED}", [FAILED], folder) is not None:
        return Choice("false", "compiling failed here before; compile: true tries it again")
    trial = Trial(config, module, task, partial(_run_seconds, config, num_batches))
    try:
        seconds = _seconds(trial, question, num_batches, may_try)
        if isinstance(seconds, Choice):
            return seconds
        choice = decide(seconds, trial.run_seconds(seconds[WITHOUT]))
        if choice.name == "true" and not has_compiler("cpu"):
            choice = Choice("false", "no compiler was found")
        if choice.name == "false":
            module.model._compiled_call_impl = None
        elif module.model._compiled_call_impl is None:
            _compile(trial, question, seconds[COMPILED], may_try)
        return choice
    except Exception as error:
        began, module.model._compiled_call_impl = module.model._compiled_call_impl, None
        if is_out_of_memory(error) or began is None:  # the run will say it, with what helps
            return Choice("false")
        remember(f"{question}, {FAILED}", Answer({FAILED: 1.0}, sure=False), folder)
        return Choice("false", f"compiling failed ({type(error).__name__})")


def _seconds(
    trial: Trial, question: str, num_batches: int, may_try: bool
) -> Mapping[str, float] | Choice:
    """The seconds by which a run is decided, or the choice for a run that tries nothing.

    Those of runs are remembered for this length, so that a repeat is decided as the run was,
    whatever others have measured since.
    """
    config, folder = trial.config, cache_folder(trial.config.cache_dir)
    length = f"{num_batches} batches" if num_batches < ENDLESS_STEPS else "endless"
    length += f" in {config.max_minutes:g} minutes" if config.max_minutes is not None else ""
    run = f"{question}, decided for {length}"
    if (decided := recalled(run, (WITHOUT, COMPILED, AGAIN), folder)) is not None:
        return decided
    if (decided := recalled(run, [NOT_TRIED], folder)) is not None:
        return _not_tried(decided)
    tried = recalled(question, (WITHOUT, COMPILED, COST), folder)
    if tried is None:
        if not may_try:
            return Choice("false")
        tried = _tried(trial, question)
    if isinstance(tried, Choice):
        return tried
    if NOT_TRIED in tried:
        remember(run, tried, folder)
        return _not_tried(tried)
    again = recalled(f"{question}, {AGAIN}", [AGAIN], folder)
    again = again or Answer({AGAIN: AGAIN_SHARE * tried[COST]})
    seconds = {WITHOUT: tried[WITHOUT], COMPILED: tried[COMPILED], **again}
    seconds = Answer(seconds, sure=tried.sure and again.sure)
    if may_try:  # so by a run, not by an estimate
        remember(run, seconds, folder)
    return seconds


def _not_tried(decided: Answer) -> Choice:
    return Choice("false", "" if decided.sure else f"not tried; steps were {UNSURE_NOTE}")


def _tried(trial: Trial, question: str) -> Answer | Choice:
    """The seconds of a trial, or NOT_TRIED for a run that is too short to try.

    A trial counts towards `max_minutes`: then it must promise twice as much.
    """
    config, folder = trial.config, cache_folder(trial.config.cache_dir)
    least = 2 * TRIAL_SECONDS if config.max_minutes is not None else TRIAL_SECONDS

    def may_pay(step_seconds: float, products_share: float = 0.0) -> bool:
        return may_save(trial.run_seconds(step_seconds), least, lambda: products_share)

    asked = f"{question}, a step"  # so that a run of another length times none
    plain = recalled(asked, (WITHOUT, PRODUCTS), folder)
    if plain is None:
        measured = trial.plain_seconds(may_pay)
        if not may_pay(measured[WITHOUT]):  # nor would faster steps, without other programs
            return Answer({NOT_TRIED: 1.0})
        plain = Answer(measured, sure=cores_are_free())
        if PRODUCTS not in plain:
            return Answer({NOT_TRIED: 1.0}, sure=False)  # by the first step alone, which is slow
        remember(asked, plain, folder)
    step_seconds, share = plain[WITHOUT], plain[PRODUCTS] / plain[WITHOUT]
    if not may_pay(step_seconds, share) or not trial.has_time(step_seconds):
        return Answer({NOT_TRIED: 1.0}, sure=plain.sure)
    if not has_compiler("cpu"):
        return Choice("false", "no compiler was found")
    log.info("compile: trying whether it pays, once for this model ...")
    seconds = Answer(trial.compiled(), sure=cores_are_free())
    remember(question, seconds, folder)
    return seconds


def _compile(trial: Trial, question: str, compiled_seconds: float, may_time: bool) -> None:
    """Compiles now, not in the run's first step: the run goes on without if that fails.

    The code was on the disk, if nobody took it away; what that takes is timed once.
    """
    folder, asked = cache_folder(trial.config.cache_dir), f"{question}, {AGAIN}"
    compile_model(trial.module.model, trial.config.cache_dir)
    if may_time and recalled(asked, [AGAIN], folder) is None:
        seconds = trial.seconds_of_compiling(compiled_seconds)
        remember(asked, Answer({AGAIN: seconds}, sure=cores_are_free()), folder)
    else:
        trial.step(compiled=True)


def decide(seconds: Mapping[str, float], run_seconds: float) -> Choice:
    """`run_seconds` are those of the run's training, not compiled.

    A run pays for compiling with code that is on the disk: to put it there was the trial's price.
    """
    ratio, cost = seconds[WITHOUT] / seconds[COMPILED], seconds[AGAIN]
    saved = run_seconds * (1 - 1 / ratio)
    note = "" if is_sure(seconds) else f"; {UNSURE_NOTE}"
    if ratio >= WORTH_CHANGING and saved > cost:
        return Choice("true", f"{ratio:.1f} x as fast here, for {cost:.0f} s of compiling{note}")
    if ratio >= WORTH_CHANGING:
        return Choice("false", f"would save {saved:.0f} s here and take {cost:.0f} s{note}")
    return Choice("false", f"{ratio:.1f} x as fast with it here{note}")


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
