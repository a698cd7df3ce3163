"""How long a training step takes on this machine, for models of any width and number of blocks.

A few sizes are timed once and remembered; the others follow from them.
"""

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from hashlib import sha256

import torch

from transformer.config.keys import Config
from transformer.models import build_model
from transformer.system.cache import cache_folder
from transformer.system.devices import device_name, resolve_accelerator
from transformer.system.speed import cores_are_free, recalled, remember
from transformer.training.lightning_module import LanguageModule
from transformer.training.optimization.optimizers import make_optimizer
from transformer.training.settings import LossSettings, OptimizerSettings

# Width and blocks of the models that are timed.
TIMED = ((64, 2), (128, 1), (128, 2), (256, 1), (256, 2))
TIMED_STEPS = 3
# Keys that change no step: places, and when a run ends.
PLACES_AND_ENDS = (
    *("runs_dir", "run_name", "cache_dir", "sample_prompt"),
    *("max_minutes", "max_steps", "epochs"),
)
Size = tuple[int, int]


class StepSeconds:
    """The seconds of a training step of a model of `width` and `num_blocks`.

    Between two timed widths, and beyond, seconds grow as a power of the width. A block more costs
    what it costs at the timed width that is nearest.
    """

    def __init__(self, seconds: Mapping[Size, float]) -> None:
        self.seconds = seconds

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


def measured_here(make_config: Callable[[int, int], Config], vocab_size: int) -> StepSeconds:
    """Of models with the config that `make_config` gives for a width and a number of blocks."""
    names = {f"{width} x {num_blocks}": (width, num_blocks) for width, num_blocks in TIMED}
    config = make_config(*TIMED[0])
    folder = cache_folder(config.cache_dir)
    question = _question(config, vocab_size)
    seconds = recalled(question, names, folder)
    if seconds is None:
        seconds = {
            name: seconds_of_a_step(make_config(*size), vocab_size) for name, size in names.items()
        }
        # Beside other programs steps take longer: then a later run measures again.
        if resolve_accelerator(config.accelerator) != "cpu" or cores_are_free():
            remember(question, seconds, folder)
    return StepSeconds({size: seconds[name] for name, size in names.items()})


def _question(config: Config, vocab_size: int) -> str:
    device = torch.device(resolve_accelerator(config.accelerator))
    left_out = ("lr", "seed", "dropout", "weight_decay", "data_path")  # take no time
    recipe = recipe_hash(config, *left_out)
    return f"training steps, {vocab_size} symbols, recipe {recipe}, {device_name(device)}"


def recipe_hash(config: Config, *left_out: str) -> str:
    """Of the keys on which a step depends, without those that are left out."""
    kept = config.resolved().keys() - {*PLACES_AND_ENDS, *left_out}
    recipe = {key: value for key, value in config.resolved().items() if key in kept}
    return sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:12]


def seconds_of_a_step(config: Config, vocab_size: int) -> float:
    """Needs a config that is settled."""
    device = torch.device(resolve_accelerator(config.accelerator))
    with torch.random.fork_rng(devices=[]):
        model = build_model(**config.architecture(vocab_size=vocab_size)).to(device)
        tokens = torch.randint(vocab_size, (config.batch_size, config.block_size)).to(device)
        module = LanguageModule(model, lr=config.lr, **asdict(config.group(LossSettings)))
        bf16 = config.precision == "bf16"
        optimizer = make_optimizer(model, config.group(OptimizerSettings), bf16=bf16)
        return min(_step(module, optimizer, tokens, bf16) for _ in range(1 + TIMED_STEPS))


def _step(
    module: LanguageModule, optimizer: torch.optim.Optimizer, tokens: torch.Tensor, bf16: bool
) -> float:
    kind = tokens.device.type
    started_at = time.perf_counter()
    with torch.autocast(kind, torch.bfloat16, enabled=bf16):
        loss = module.training_step((tokens, tokens), 0)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    if kind in ("cuda", "mps"):
        getattr(torch, kind).synchronize()
    return time.perf_counter() - started_at
