"""A pilot: a tiny model, trained in seconds, whose loss says how predictable a text is."""

from typing import Any

from transformer.config.keys import Config
from transformer.evaluation.text import score_model
from transformer.run import assembly
from transformer.run.planning.law import PLAIN
from transformer.run.planning.steps import OWN_HEADS, recipe_hash
from transformer.system.cache import cache_folder
from transformer.system.speed import recalled, remember
from transformer.tasks.base import Data

PILOT_STEPS = 100
SIZES = {"embedding_dim": 64, "num_heads": 2, "num_blocks": 2, "dropout": 0.0} | OWN_HEADS
SCORED_TOKENS = 100_000  # at most


def pilot_loss(config: Config, data: Data) -> float:
    """In nats per token of the validation split; remembered for this text and recipe.

    Needs a config that is settled.
    """
    block_size = min(config.block_size, PLAIN["block_size"])
    changes = SIZES | {"batch_size": PLAIN["batch_size"], "block_size": block_size}
    changes |= {"weight_decay": PLAIN["weight_decay"], "accumulate_grad_batches": 1, "devices": 1}
    changes |= {"compile": False, "r_drop": 0.0, "max_steps": PILOT_STEPS, "max_minutes": None}
    config = config.model_copy(update=changes)
    question = f"pilot, text {data.sha256[:16]}, recipe {recipe_hash(config, 'data_path')}"
    folder = cache_folder(config.cache_dir)
    known = recalled(question, ("loss",), folder)
    if known is None:
        known = {"loss": _trained(config, data)}
        remember(question, known, folder)
    return known["loss"]


def _trained(config: Config, data: Data) -> float:
    task: Any = assembly.build_task(config, data)
    module = assembly.build_module(config, task, PILOT_STEPS)
    hardware = assembly.choose_hardware(config)
    trainer = assembly.bare_trainer(hardware, PILOT_STEPS, limit_val_batches=0)
    trainer.fit(module, task.data)
    model: Any = module.model.to(trainer.strategy.root_device)
    return score_model(model, task.data.val_tokens[:SCORED_TOKENS], task.data.tokenizer).loss
