"""Pilots: a tiny model, trained twice in seconds, whose losses say how predictable a text is."""

from typing import Any

from transformer.config.keys import Config
from transformer.evaluation.text import score_model
from transformer.run import assembly
from transformer.run.planning.law import LAW, PILOT_TOKENS, PLAIN
from transformer.run.planning.steps import OWN_HEADS, recipe_hash
from transformer.system.cache import cache_folder
from transformer.system.speed import recalled, remember
from transformer.tasks.base import Data

MOST_PASSES = 3.5  # over a short text, which a longer pilot would learn by heart
LEAST_STEPS = 20
WHOLE_FROM_MINUTES = 3.0  # of a plan; for fewer, pilots make fewer steps
SIZES = {"embedding_dim": 64, "num_heads": 2, "num_blocks": 2, "dropout": 0.0} | OWN_HEADS
SCORED_TOKENS = 100_000  # at most


def pilot_loss(config: Config, data: Data) -> float:
    """See `Law.pilot`, in nats per token of the validation split.

    Remembered for this text and recipe. Needs a config that is settled.
    """
    minutes = config.max_minutes or WHOLE_FROM_MINUTES
    config = _of_pilots(config)
    tokens_per_step = config.batch_size * config.block_size
    folder, recipe = cache_folder(config.cache_dir), recipe_hash(config, "data_path")
    wanted = steps_of(data, tokens_per_step)
    fewer = max(LEAST_STEPS, even(wanted * min(1.0, minutes / WHOLE_FROM_MINUTES)))

    def known(steps: int) -> dict[str, float] | None:
        return recalled(question.format(steps), ("half", "whole"), folder)

    question = f"pilots of {{}} steps, text {data.sha256[:16]}, recipe {recipe}"
    # A plan for more minutes may have trained the longer pilots.
    steps = wanted if known(wanted) else fewer
    losses = known(steps)
    if losses is None:
        numbers = {"half": steps // 2, "whole": steps}
        losses = {name: _trained(config, data, number) for name, number in numbers.items()}
        remember(question.format(steps), losses, folder)
    return LAW.pilot(**losses, seen=float(steps * tokens_per_step))


def _of_pilots(config: Config) -> Config:
    block_size = min(config.block_size, PLAIN["block_size"])
    changes = SIZES | {"batch_size": PLAIN["batch_size"], "block_size": block_size}
    changes |= {"weight_decay": PLAIN["weight_decay"], "accumulate_grad_batches": 1, "devices": 1}
    changes |= {"compile": False, "r_drop": 0.0, "max_minutes": None}
    changes |= {"seed": 0}  # as the law's; other seeds say up to 0.04 more or less
    return config.model_copy(update=changes)


def steps_of(data: Data, tokens_per_step: int) -> int:
    """Those of the longer pilot, for a plan of WHOLE_FROM_MINUTES."""
    text: Any = data
    most = even(MOST_PASSES * len(text.train) / tokens_per_step)
    return min(max(LEAST_STEPS, most), PILOT_TOKENS // tokens_per_step)


def even(number: float) -> int:
    """The next even number below."""
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
