"""What is each option worth? Lists of changes, each tried alone by `sweep.py` with paired seeds.

`python benchmarks/ablate.py recipe --minutes 120 --seeds 5` trains configs/default.yaml and each
change of the list, all runs for equally long, and writes ablate_recipe.json. Every other flag is
one of sweep.py: `--max_steps 500` compares at equal steps instead. The sweep is in sweeps/, and the
same command goes on with one that was stopped.

The tables of benchmarks/README.md are of an earlier version of this script, at the commits that
their files name. It also measured the cost of a step, and tried options that are no keys.
"""

import json
import sys
from statistics import mean
from typing import Any

from record import ROOT, save
from tabulate import tabulate

import sweep
from transformer.config.flags import check_flags, given_flags
from transformer.sweep.options import SweepOptions
from transformer.sweep.outcome import RESULTS
from transformer.sweep.planning import folder_of
from transformer.system.errors import UserError
from transformer.system.files import read_utf8
from transformer.system.terminal import run_script

# The config, and changes of it.
LISTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "options": (
        "default",
        (
            *("token_shift=true", "ngram_size=2", "ngram_size=3", "qk_norm=false"),
            *("norm=layernorm", "tie_weights=true", "bias=true", "positions=learned"),
            *("activation=gelu", "activation=relu2", "dropout=0.1", "optimizer=adamw+lr=3e-3"),
        ),
    ),
    "recipe": (
        "default",
        (
            *("momentum=0.9", "momentum=0.8", "lr=7e-3", "lr=1.4e-2", "batch_size=8"),
            *("batch_size=16", "decay_fraction=0.6", "beta2=0.95", "weight_decay=0.02"),
        ),
    ),
    "quick": (
        "quick",
        (
            *("lr=1.5e-2", "momentum=0.85", "decay_fraction=0.8", "ngram_size=2", "beta1=0.9"),
            *("batch_size=12", "batch_size=24", "block_size=32+batch_size=32", "tie_weights=true"),
            "embedding_dim=192+num_heads=6",
        ),
    ),
    "polar": ("default", ("polar=newton_schulz",)),
}
# Flags for all runs of a list, where `auto` could choose otherwise on another machine.
FOR_ALL: dict[str, tuple[str, ...]] = {"polar": ("--polar", "polar_express", "--precision", "bf16")}


def flags_of(name: str) -> list[str]:
    """Those of sweep.py. Raises: UserError for a name that is no list."""
    if name not in LISTS:
        raise UserError(f"{name or 'nothing'}: no such list: give one of {', '.join(LISTS)}")
    config, changes = LISTS[name]
    path = str(ROOT / "configs" / f"{config}.yaml")
    for_all = FOR_ALL.get(name, ())
    return ["--config", path, "--name", f"ablate-{name}", *for_all, "--try", *changes]


def main(argv: list[str] | None = None) -> int:
    name, *others = (sys.argv[1:] if argv is None else argv) or [""]
    flags = [*flags_of(name), *others]
    status = sweep.main(flags)
    save(f"ablate_{name}", results_of(flags))
    return status


def results_of(flags: list[str]) -> Any:
    """What the sweep of these flags has found."""
    arguments = sweep.make_parser().parse(flags)
    options = check_flags(SweepOptions, given_flags(arguments, SweepOptions))
    path = folder_of(arguments.config, options) / RESULTS
    return json.loads(read_utf8(path, "file of results"))


def recorded_table(figures: dict[str, Any]) -> str:
    """Markdown, of a file of the earlier version of this script."""
    header = ("switch", "loss", "95 %", "step cost", "at equal time", "95 %")
    rows = [
        (
            f"`{switch}`",
            *_cells(row["loss_difference"]),
            f"{row['step_cost']:.3f}",
            *_cells(row["loss_difference_at_equal_time"]),
        )
        for switch, row in figures["switches"].items()
    ]
    base, tried = figures["base"], figures["num_switches"]
    lines = tabulate(rows, header, tablefmt="pipe", disable_numparse=True)
    return (
        f"{lines}\n\nbase {figures['config']}: loss {mean(base['losses']):z.4f} after "
        f"{figures['steps']:,} steps of {1000 * base['seconds_per_step']:.1f} ms, "
        f"{mean(base['losses_at_half']):z.4f} after half of them; {figures['seeds']} seeds; "
        f"less is better\nswitches tried: {tried}; if none had an effect, about {0.05 * tried:.2g} "
        "of them would have an interval without 0 by chance"
    )


def _cells(values: tuple[float, float, float]) -> list[str]:
    center, low, high = values
    return [f"{center:+z.4f}", f"{low:+z.4f} to {high:+z.4f}"]


if __name__ == "__main__":
    run_script(main)
