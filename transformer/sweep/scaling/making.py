"""From what a user asks for to the plan of a scaling law. No torch, except to measure."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from transformer.config.files import Setting
from transformer.config.files import check as checked
from transformer.config.keys import Config
from transformer.sweep.options import SweepOptions
from transformer.sweep.plan import Plan
from transformer.sweep.planning import base_of, read_base
from transformer.sweep.scaling.check import check, check_flags
from transformer.sweep.searches.scaling import ScalingSearch
from transformer.system.errors import UserError
from transformer.system.lean_imports import import_lightning
from transformer.system.terminal import say_loading

SUFFIX = "-scaling"  # of the folder's name, so that a sweep of the same config has its own


def make_scaling_plan(
    path: str | Path, flags: Mapping[str, Any], options: SweepOptions, *, varies: bool
) -> Plan:
    """The plan, without what is measured. `varies` if keys to vary are given.

    Raises: UserError for what does not go together, and as the functions of check.py.
    """
    if varies:
        raise UserError("--scaling varies the size alone: leave out --vary and --try")
    if given := sorted({"search", "runs"} & options.model_fields_set):
        raise UserError(f"--{given[0]} does not go with --scaling, which trains five sizes")
    check_flags(flags)
    config = read_base(path, flags, options.minutes)
    check(config)
    return Plan(
        base_of(config),
        ScalingSearch.name,
        seeds=options.seeds,
        minutes=options.minutes,
        processes=len(options.places),
    )


def with_measures(plan: Plan) -> Plan:
    """The plan with its sizes, after the data is read and steps are timed here."""
    say_loading("PyTorch")
    import_lightning()
    from transformer.sweep.scaling.planning import measure_sizes

    settings = {key: Setting(value, key) for key, value in plan.base.items()}
    config = checked(Config, settings, "the sweep's config")
    found = measure_sizes(config, plan.minutes, processes=plan.processes, seeds=plan.seeds)
    return replace(plan, measured=found)
