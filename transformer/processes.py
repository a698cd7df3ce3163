"""Which of a run's processes this one is, as those that started it say. No torch.

Lightning starts one a device and tells the others alone; torchrun and SLURM's srun tell all.
"""

import os

_PLACES = ("NODE_RANK", "LOCAL_RANK", "SLURM_PROCID")


def is_rank_0() -> bool:
    """Whether this is the one that writes and prints: alone, or first of all of a run's."""
    if "RANK" in os.environ:  # torchrun's, over all machines
        return os.environ["RANK"] == "0"
    return all(os.environ.get(name, "0") == "0" for name in _PLACES)


def launch_id() -> str | None:
    """torchrun's --rdzv_id, by which processes that it starts again are known; None without one."""
    name = os.environ.get("TORCHELASTIC_RUN_ID", "none")
    return None if name == "none" else name


def was_restarted() -> bool:
    """Whether torchrun on one machine has started the processes again, or SLURM the job.

    Of several machines torchrun tells it only those that have lost a process.
    """
    names = ("TORCHELASTIC_RESTART_COUNT", "SLURM_RESTART_COUNT")
    return any(os.environ.get(name, "0") != "0" for name in names)


def count_no_restarts() -> None:
    """Makes processes meet under one name: torch meets under the count, which on machines that
    have lost no process of their own is another one.
    """
    if "TORCHELASTIC_RESTART_COUNT" in os.environ:
        os.environ["TORCHELASTIC_RESTART_COUNT"] = "0"


def launched_sizes() -> tuple[int, int] | None:
    """Processes a node and nodes under torchrun, None without it."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return None
    per_node = int(os.environ["LOCAL_WORLD_SIZE"])
    return per_node, int(os.environ["WORLD_SIZE"]) // per_node
