"""Pilots: a tiny model, trained twice in seconds, whose losses say how predictable a text is."""

from typing import Any

from transformer.config.keys import Config
from transformer.evaluation.text import score_model
from transformer.run import assembly
from transformer.run.planning.law import LAW, PILOT_STEPS, PILOT_TOKENS, PLAIN
from transformer.run.planning.steps import OWN_HEADS, recipe_hash
from transformer.system.cache import cache_folder
from transformer.system.speed import recalled, remember
from transformer.tasks.base import Data

MOST_PASSES = 3.5  # over a short text, which a longer pilot would learn by heart
LEAST_PILOT_STEPS = 20  # also where these are more passes
MOST_SHARE = 0.15  # of a plan's minutes, for pilots; otherwise they make half of the steps
SIZES: dict[str, Any] = {
    "embedding_dim": 64,
    "num_heads": 2,
    "num_blocks": 2,
    "dropout": 0.0,
} | OWN_HEADS
SCORED_TOKENS = 100_000  # at most


def promised_loss(config: Config, data: Data, step_seconds: float) -> float:
    """What two pilots promise of a text, in nats per token of the validation split.

    See `Law.pilots`. A step of theirs takes about `step_seconds`. Their losses are remembered for
    this text and recipe. Needs a config that is settled.
    """
    minutes, config = config.max_minutes, _pilot_config(config)
    tokens_per_step = config.batch_size * config.block_size
    folder, recipe = cache_folder(config.cache_dir), recipe_hash(config, "data_path")
    wanted = steps = steps_of(data, tokens_per_step)
    if minutes is not None and 1.5 * wanted * step_seconds > MOST_SHARE * 60 * minutes:
        steps = max(even(wanted / 2), min(wanted, PILOT_STEPS // 2))
    question = f"pilots of {{}} steps, text {data.sha256[:16]}, recipe {recipe}"
    names = "half", "whole"
    # A plan for more minutes may have trained the longer pilots.
    if losses := recalled(question.format(wanted), names, folder):
        steps = wanted
    elif not (losses := recalled(question.format(steps), names, folder)):
        numbers = dict(zip(names, (steps // 2, steps), strict=True))
        losses = {name: _trained(config, data, number) for name, number in numbers.items()}
        remember(question.format(steps), losses, folder)
    return LAW.pilots(**losses, seen=float(steps * tokens_per_step))


def _pilot_config(config: Config) -> Config:
    """With the seed of the law's runs, as other seeds would promise other losses."""
    changes = SIZES | {"batch_size": PLAIN["batch_size"], "weight_decay": PLAIN["weight_decay"]}
    changes |= {"block_size": min(config.block_size, PLAIN["block_size"]), "seed": 0, "r_drop": 0.0}
    changes |= {"accumulate_grad_batches": 1, "compile": False, "max_minutes": None}
    changes |= {"devices": 1, "strategy": "auto"}
    return config.model_copy(update=changes)


def steps_of(data: Data, tokens_per_step: int) -> int:
    """Steps of the longer pilot where there is time enough."""
    text: Any = data
    most = max(LEAST_PILOT_STEPS, even(MOST_PASSES * len(text.train) / tokens_per_step))
    return min(most, even(PILOT_TOKENS / tokens_per_step), 2 * PILOT_STEPS)


def even(number: float) -> int:
    """The largest even number that is not above it."""
    return 2 * int(number / 2)


def _trained(config: Config, data: Data, steps: int) -> float:
    config = config.model_copy(update={"max_steps": steps})
    task: Any = assembly.build_task(config, data)
    module = assembly.build_module(config, task, steps)
    hardware = assembly.choose_hardware(config)
    trainer = assembly.bare_trainer(hardware, steps, limit_val_batches=0)
    trainer.fit(module, task.data)
    model: Any = module.model.to(trainer.strategy.root_device)
    return score_model(model, task.data.val_tokens[:SCORED_TOKENS], task.data.tokenizer).loss
