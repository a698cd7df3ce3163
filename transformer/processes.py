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
    """By which processes that torchrun starts again are known: its --rdzv_id, of one machine one
    that it makes itself; None on several without one, and without torchrun.
    """
    name = os.environ.get("TORCHELASTIC_RUN_ID", "none")
    return None if name == "none" else name


def was_restarted() -> bool:
    """Whether SLURM has started the job again, or a torchrun without an id the processes here."""
    names = ("TORCHELASTIC_RESTART_COUNT", "SLURM_RESTART_COUNT")
    return any(os.environ.get(name, "0") != "0" for name in names)


def restarts_would_wait() -> bool:
    """Whether processes that torchrun starts again look for those that are gone, and wait: they
    share a store with its agent, which keeps the old addresses (torch 2.13).
    """
    may_restart = os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0") != "0"
    return may_restart and os.environ.get("TORCH_DISABLE_SHARE_RDZV_TCP_STORE") != "1"


def knows_its_machine() -> bool:
    """Whether the user has said which of several machines this is, and where they meet."""
    return {"NODE_RANK", "MASTER_ADDR"} <= set(os.environ)


def num_sharing_cores(num_local_devices: int) -> int:
    """Processes of this machine that share the cores this one may use: srun gives each its own."""
    return 1 if "SLURM_PROCID" in os.environ else num_local_devices


def launched_sizes() -> tuple[int, int] | None:
    """Processes a node and nodes, as torchrun or SLURM's srun has started them; None alone."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        per_node = int(os.environ["LOCAL_WORLD_SIZE"])
        return per_node, int(os.environ["WORLD_SIZE"]) // per_node
    by_hand = os.environ.get("SLURM_JOB_NAME") in ("bash", "interactive")  # as Lightning sees it
    if "SLURM_NTASKS_PER_NODE" in os.environ and not by_hand:
        return int(os.environ["SLURM_NTASKS_PER_NODE"]), int(os.environ["SLURM_NNODES"])
    return None
