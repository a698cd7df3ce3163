"""Measures how much a switch of a config changes the loss, at equal steps and at equal time.

`python benchmarks/ablate.py --config configs/default.yaml --switch qk_norm,norm=layernorm --seeds 5
--steps 1000` trains the base and one variant for each switch, and writes ablation.json.
Every run is a whole schedule of N steps. For one seed, all runs read the same chunks in the same
order, and start from the same weights if their shapes are equal. A switch is KEY=VALUE, or KEY
alone (it inverts a boolean), or several of them joined by a plus: `optimizer=adamw+lr=3e-3`. The
keys of `candidates.py` can be tried, too: `logit_cap=15`.

Loss: exact, over the whole validation split, as in evaluate.py. For each seed, d is the variant's
loss minus the base's. The interval comes from the paired t test over n seeds: mean +-
t(0.975, n - 1) s / sqrt(n).

Step cost c: the variant's seconds per step divided by the base's. It is measured apart from the
training runs. The base is timed right before and after the variant, and the mean of both is used.
Seconds are medians over steps; c is the median over rounds.

Equal time: while the base makes N steps, the variant makes N / c. Near N, the base's loss is about
linear in log steps, with the slope b = (L(N) - L(N/2)) / log 2 of whole schedules. The variant is
assumed to have the same slope, so d at equal time = d - b log c, computed for each seed. b is
negative, so a slower variant loses. The interval treats c as exact.
"""

import argparse
import math
import sys
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

from record import RESULTS, ROOT, processor, save
from tabulate import tabulate
from variants import WARMUP_STEPS, StepClock, Variant, fit, loss_after, make_variants

from transformer.data.text.corpus import Corpus
from transformer.system.errors import UserError
from transformer.system.terminal import quiet_libraries, run_script
from transformer.tasks.registry import task_of

# The 0.975 quantile of Student's t for 1, 2, ... degrees of freedom. For more, the last one is
# used, which makes the interval a little too wide.
T_975 = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
)
Losses = dict[str, list[float]]


def measure_costs(
    variants: dict[str, Variant], corpus: Corpus, rounds: int, steps: int
) -> dict[str, list[float]]:
    """Each variant's step cost, one number per round; "base" holds all seconds of the base.

    The base is timed before and after each variant, and the variant's seconds are divided by the
    mean of the two: other work on the machine slows neighboring measurements equally.
    """

    def seconds_per_step(variant: Variant) -> float:
        clock = StepClock()
        fit(variant, corpus, 0, WARMUP_STEPS + steps, clock)
        return clock.seconds_per_step()

    costs: dict[str, list[float]] = {name: [] for name in variants}
    bases = costs["base"]
    for number in range(rounds):
        bases.append(seconds_per_step(variants["base"]))
        for name in [name for name in variants if name != "base"]:
            seconds = seconds_per_step(variants[name])
            bases.append(seconds_per_step(variants["base"]))
            costs[name].append(seconds / mean(bases[-2:]))
            report(f"cost, round {number + 1}: {name}: {costs[name][-1]:.3f} of the base's")
    return costs


def interval(differences: list[float]) -> tuple[float, float, float]:
    """Mean and 95 % interval of at least two paired differences."""
    freedom = len(differences) - 1
    quantile = T_975[min(freedom, len(T_975)) - 1]
    center = mean(differences)
    half_width = quantile * stdev(differences) / math.sqrt(len(differences))
    return center, center - half_width, center + half_width


def at_equal_time(difference: float, slope: float, cost: float) -> float:
    """Corrects a difference at equal steps: at equal time the variant makes `cost` times fewer."""
    return difference - slope * math.log(cost)


def compare(switch: str, losses: Losses, half: list[float], costs: list[float]) -> dict[str, Any]:
    """The row of one switch; `half` holds the base's losses after half of the steps."""
    base = losses["base"]
    pairs = zip(losses[switch], base, strict=True)
    differences = [variant - reference for variant, reference in pairs]
    slopes = [(whole - early) / math.log(2) for whole, early in zip(base, half, strict=True)]
    cost = median(costs)
    timed = [at_equal_time(d, b, cost) for d, b in zip(differences, slopes, strict=True)]
    return {
        "loss_difference": interval(differences),
        "step_cost": cost,
        "step_cost_range": (min(costs), max(costs)),
        "loss_difference_at_equal_time": interval(timed),
        "losses": losses[switch],
    }


def run(variants: dict[str, Variant], corpus: Corpus, arguments: argparse.Namespace) -> dict:
    """Measures costs, then trains seed by seed; saves after each seed from the second on."""
    costs = measure_costs(variants, corpus, arguments.rounds, arguments.cost_steps)
    losses: Losses = {name: [] for name in variants}
    half: list[float] = []
    figures: dict[str, Any] = {}
    for seed in range(arguments.seeds):
        half.append(loss_after(variants["base"], corpus, seed, arguments.steps // 2))
        for name, variant in variants.items():
            losses[name].append(loss_after(variant, corpus, seed, arguments.steps))
            report(f"seed {seed}: {name}: val_loss {losses[name][-1]:z.4f}")
        if seed == 0:
            continue
        switches = [name for name in variants if name != "base"]
        figures = {
            "config": shown(arguments.config),
            "corpus": {
                "file": Path(variants["base"].config.data_path).name,
                "sha256": corpus.sha256,
            },
            "steps": arguments.steps,
            "seeds": seed + 1,
            "rounds": arguments.rounds,
            "base": {
                "losses": losses["base"],
                "losses_at_half": half,
                "seconds_per_step": median(costs["base"]),
            },
            "num_switches": len(switches),
            "switches": {name: compare(name, losses, half, costs[name]) for name in switches},
        }
        save(arguments.name, figures)
    return figures


def table(figures: dict[str, Any]) -> str:
    """Markdown: a row for each switch, the base's loss, and how many switches were tried."""
    header = ("switch", "loss", "95 %", "step cost", "at equal time", "95 %")
    rows = []
    for switch, row in figures["switches"].items():
        steps, timed = row["loss_difference"], row["loss_difference_at_equal_time"]
        cells = [f"`{switch}`", *_cells(steps), f"{row['step_cost']:.3f}", *_cells(timed)]
        rows.append(cells)
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


def shown(path: Path) -> str:
    """The path from the repository's root, or only the name of a file outside it."""
    path = path.resolve()
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name


def report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--config", type=Path, default=ROOT / "configs" / "default.yaml")
    parser.add_argument("--switch", required=True, help="NAME[=VALUE][+NAME...],...")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--data_path")
    parser.add_argument("--name", default="ablation", help="name of the file in results/")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of the cost measurement")
    parser.add_argument("--cost_steps", type=int, default=20, help="timed steps per round")
    arguments = parser.parse_args(argv)
    least = {"seeds": 2, "steps": 2, "rounds": 1, "cost_steps": 1}
    for name, value in least.items():
        if getattr(arguments, name) < value:
            raise UserError(f"--{name} must be at least {value}, got {getattr(arguments, name)}")
    return arguments


def main(argv: list[str] | None = None) -> int:
    arguments = parse_arguments(argv)
    switches = [switch.strip() for switch in arguments.switch.split(",") if switch.strip()]
    if not switches:
        raise UserError("--switch is empty: give NAME[=VALUE],...")
    variants = make_variants(arguments.config, switches, arguments.data_path)
    quiet_libraries()
    config = variants["base"].config
    corpus = task_of(config.model).read(config)
    path = RESULTS / processor() / f"{arguments.name}.json"
    if path.exists():
        report(f"{path} will be replaced; give another --name to keep it")
    print(table(run(variants, corpus, arguments)))
    return 0


if __name__ == "__main__":
    run_script(main)
