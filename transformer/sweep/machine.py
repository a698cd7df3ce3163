"""Refuses, before the first run, what no run could do here. No torch, unless a device is asked for.

What shows only in a text, such as one that is too short, is found by the runs.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from typing import Any

from transformer.config.keys import Config
from transformer.data.sources.paths import check_there
from transformer.data.tokenizer_files import read_tokenizer
from transformer.data.tokenizers.registry import TOKENIZERS
from transformer.run.conflicts import MACHINE_KEYS, check_machine
from transformer.sweep.folder import SweepFolder
from transformer.sweep.options import SweepOptions
from transformer.sweep.plan import Plan
from transformer.system.errors import UserError

PATHS = ("data_path", "val_path", "test_path", "old_data_path")
# All keys that the checks here look at; configs that are alike in them are checked once.
KEYS = (*MACHINE_KEYS, "tokenizer", "start_from", *PATHS)


def check_new(plan: Plan, options: SweepOptions) -> None:
    """Raises: UserError for a missing device, package, text or tokenizer of any run."""
    for config in _distinct(plan, [(settings, {}) for settings in _settings(plan)], options):
        check_machine(config)
        _check_paths(config)
        if config.tokenizer not in TOKENIZERS and config.start_from is None:
            read_tokenizer(config.tokenizer)


def check_left(folder: SweepFolder, options: SweepOptions, *, retry: bool) -> None:
    """As `check_new`, for the runs that a sweep which goes on has left.

    A run that has begun has its tokenizer in its checkpoint. With `retry`, those that have failed
    are left, too.
    """
    results = folder.results()
    trials = results.left()
    trials += [result.trial for result in results.ended() if retry and result.loss is None]
    left = [(trial.settings, trial.limit) for trial in trials]
    for config in _distinct(folder.plan, left, options):
        check_machine(config)
        _check_paths(config)


def _check_paths(config: Config) -> None:
    for key in PATHS:
        if (path := getattr(config, key)) is not None:
            check_there(path)


def _settings(plan: Plan) -> list[Mapping[str, Any]]:
    """Each combination of these keys, also one that a search may choose only later."""
    varied = {key: plan.space[key].plain() for key in KEYS if key in plan.space}
    combinations = [dict(zip(varied, chosen, strict=True)) for chosen in product(*varied.values())]
    return [*combinations, *plan.changes]


def _distinct(
    plan: Plan,
    asked: Iterable[tuple[Mapping[str, Any], Mapping[str, Any]]],
    options: SweepOptions,
) -> Iterator[Config]:
    """One of the configs that are alike in these keys, as it is trained with `--gpus`.

    `asked` are settings with their limits. Those that are no config are left out: a combination
    needs other keys, too, or fails as one that a search has chosen.
    """
    seen: set[str] = set()
    for settings, limit in asked:
        try:
            config = plan.config(settings, limit)
        except UserError:
            continue
        if options.gpus is not None:
            config = config.model_copy(update={"accelerator": "cuda"})
        if (known := repr([getattr(config, key) for key in KEYS])) not in seen:
            seen.add(known)
            yield config
