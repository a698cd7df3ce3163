"""The tasks by name. Imports no torch."""

from transformer.models.families.registry import FAMILIES
from transformer.tasks.base import Task
from transformer.tasks.pairs import PairTask
from transformer.tasks.text import TextTask

TASKS: dict[str, Task] = {task.name: task for task in (TextTask(), PairTask())}


def task_of(model: str) -> Task:
    return TASKS[FAMILIES[model].data]
