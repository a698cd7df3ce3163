"""The score by which runs are compared: one rule for a sweep and for a table of runs. No torch."""

from collections.abc import Iterable

from transformer.config.compared_keys import TOKEN_KEYS
from transformer.storage.curves import VAL_LOSS
from transformer.tasks.registry import task_of


def metric_of(models: Iterable[str], differing_keys: Iterable[str]) -> str:
    """The entry of summary.json to compare runs of these models by; lower is better.

    It is the score that picks a run's best weights. Losses per token say nothing about models whose
    tokens differ: then it is the task's score for any tokens. Texts and pairs have val_loss alone
    in common.
    """
    tasks = {task_of(model) for model in models}
    if len(tasks) != 1:
        return VAL_LOSS
    (task,) = tasks
    return task.metric_of_any_tokens if TOKEN_KEYS & {*differing_keys} else task.monitor
