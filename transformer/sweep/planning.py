"""From what a user asks for to the plan of a sweep. No torch, except with start_from."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformer.config.drafts import in_file
from transformer.config.files import load_config
from transformer.config.keys import Config
from transformer.storage.run_names import check_name
from transformer.sweep.options import SweepOptions
from transformer.sweep.places import check_new
from transformer.sweep.plan import LIMITS, Plan
from transformer.sweep.registry import search_of
from transformer.sweep.varying import FIXED, read_changes, read_space
from transformer.system.errors import UserError
from transformer.tasks.registry import task_of

PLACES = ("runs_dir", "run_name")


def make_plan(
    path: str | Path,
    flags: Mapping[str, Any],
    options: SweepOptions,
    vary: Sequence[str],
    changes: Sequence[str],
) -> Plan:
    """The plan of a config file and flags, whose every run has a config that can be.

    Raises: UserError for what cannot be varied, cannot be searched, or leaves nothing to compare.
    """
    if vary and changes:
        raise UserError("--vary and --try are two kinds of sweeps: give one of them")
    search = "each" if changes else options.search
    if changes and "search" in options.model_fields_set:
        raise UserError(f"--search {options.search} does not go with --try: leave it out")
    if not (vary or changes or options.seeds > 1):
        raise UserError(
            "nothing to compare: give --vary lr=1e-3,1e-2, --try dropout=0, or --seeds 2"
        )
    config = read_base(path, flags, options.minutes)
    base = base_of(config)
    plan = Plan(
        base,
        search,
        read_space(vary),
        read_changes(changes, base),
        options.seeds,
        options.runs,
        options.minutes,
        len(options.places),
    )
    check_trials(plan)
    return plan


def base_of(config: Config) -> dict[str, Any]:
    """The keys that all runs share, for `Plan.base`."""
    return {key: value for key, value in config.resolved().items() if key not in PLACES}


def read_base(path: str | Path, flags: Mapping[str, Any], minutes: float | None) -> Config:
    """The config that all runs share. Raises: UserError for keys that a sweep sets itself."""
    for key in PLACES:
        if key in flags:
            raise UserError(f"--{key} does not go with a sweep: {FIXED[key]}")
    if minutes is not None:
        if given := [key for key in LIMITS if flags.get(key) is not None]:
            raise UserError(
                f"--{given[0]} does not go with --minutes, of which each run gets its share: "
                "leave out one of them"
            )
        flags = {**flags, "max_minutes": minutes}
    if start_from := flags.get("start_from", in_file(str(path), "start_from")):
        from transformer.run.starting import config_of_start

        config = config_of_start(start_from, path, flags)
    else:
        config = load_config(path, flags)
    check_devices(config)
    return config


def check_devices(config: Config) -> None:
    """Raises: UserError for a config whose runs need several devices."""
    for key in ("devices", "num_nodes"):
        if getattr(config, key) != 1:
            raise UserError(f"{key} must be 1 in a sweep, got {getattr(config, key)}: {FIXED[key]}")


def check_trials(plan: Plan) -> None:
    """Raises: UserError for a limit that is varied, and for a combination that cannot be."""
    _check_tasks(plan)
    trials = search_of(plan).trials([])
    for key in plan.keys:
        if key in LIMITS and any(trial.limit for trial in trials):
            raise UserError(f"{key}: cannot be varied where the sweep itself ends each run")
    assert len({trial.name for trial in trials}) == len(trials)
    for trial in trials:
        if trial.seed == plan.base["seed"]:
            plan.config(trial.settings, trial.limit)
    if plan.seed_numbers[-1] >= 2**32:
        raise UserError(f"--seeds {plan.seeds}: the last seed would be above {2**32 - 1}")


def _check_tasks(plan: Plan) -> None:
    """Raises: UserError if some models are of texts and others of pairs."""
    varied = plan.space.get("model")
    models = [plan.base["model"]] if varied is None else [*varied.plain()]
    models += [change["model"] for change in plan.changes if "model" in change]
    for model in models:
        if task_of(model) is not task_of(models[0]):
            raise UserError(
                f"model {models[0]} is a model of {task_of(models[0]).noun}, and model {model} of "
                f"{task_of(model).noun}: their scores cannot be compared; make a sweep for each"
            )


def check_ensemble(plan: Plan) -> None:
    """Raises: UserError for models that cannot be averaged, and for one seed alone."""
    task = task_of(plan.base["model"])
    if not task.averages:
        raise UserError(
            f"`ensemble` averages models of texts, and this sweep trains models of {task.noun}: "
            "leave it out"
        )
    if plan.seeds < 2:
        raise UserError("`ensemble` averages the seeds of a combination: give `seeds=2` or more")


def folder_of(path: str | Path, options: SweepOptions, suffix: str = "") -> Path:
    """`suffix` ends the name that a config's file gives.

    Raises: UserError for a name that no folder can have, and where none can be made.
    """
    name = options.name or Path(path).stem + suffix
    origin = "--name" if options.name is not None else str(path)
    check_name(name, origin, "give another --name")
    folder = Path(options.sweeps_dir, name)
    check_new(folder)
    return folder
