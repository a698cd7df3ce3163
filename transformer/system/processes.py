"""Which of a run's processes this one is, read from environment variables. No torch.

Lightning starts one process per device, and sets variables only for those that it starts itself.
torchrun and SLURM's srun set variables for every process.
"""

import os

from transformer.system.errors import UserError


def is_rank_0() -> bool:
    """Whether this process writes and prints: the only one of its run, or the first."""
    if "RANK" in os.environ:  # torchrun counts over all machines
        return os.environ["RANK"] == "0"
    places = ("NODE_RANK", "LOCAL_RANK", "SLURM_PROCID")
    return all(os.environ.get(name, "0") == "0" for name in places)


# The variables that Lightning and this program read; all are numbers.
_TORCHRUN = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")
_SRUN = ("SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID")
_NUMBERS = (
    *_TORCHRUN,
    *_SRUN,
    *("GROUP_RANK", "NODE_RANK", "MASTER_PORT", "TORCHELASTIC_RESTART_COUNT"),
    *("SLURM_NTASKS_PER_NODE", "SLURM_NNODES", "SLURM_RESTART_COUNT"),
)


def check_launch() -> None:
    """Raises: UserError for variables of torchrun or SLURM that are wrong or incomplete."""
    given = {name: os.environ[name] for name in _NUMBERS if name in os.environ}
    for name, value in given.items():
        if not (value.isascii() and value.isdecimal()):
            raise UserError(f"the variable {name} must be a whole number, got {value!r}: unset it")
    if "TORCHELASTIC_RUN_ID" in os.environ or "RANK" in given:
        _check_torchrun(given)
    elif "SLURM_NTASKS" in given and not _by_hand():
        _check_srun(given)
    elif given.get("LOCAL_RANK", "0") != "0" and "WORLD_SIZE" not in given:
        raise UserError(
            f"the variable LOCAL_RANK is {given['LOCAL_RANK']}, but WORLD_SIZE is not set: start "
            "with torchrun, or unset LOCAL_RANK"
        )


def _check_torchrun(given: dict[str, str]) -> None:
    alone = given.get("RANK") == "0" and given.get("WORLD_SIZE") == "1"
    if alone and "TORCHELASTIC_RUN_ID" not in os.environ:
        return
    if missing := [name for name in _TORCHRUN if name not in given]:
        there = "RANK" if "RANK" in given else "TORCHELASTIC_RUN_ID"
        raise UserError(
            f"the variable {there} is set, but not {', '.join(missing)}: start with torchrun, "
            f"or unset {there}"
        )
    for rank, size in (("RANK", "WORLD_SIZE"), ("LOCAL_RANK", "LOCAL_WORLD_SIZE")):
        if int(given[rank]) >= int(given[size]):
            raise UserError(
                f"the variable {rank} must be less than {size}, got {rank}={given[rank]} and "
                f"{size}={given[size]}: start with torchrun, or unset both"
            )
    if "TORCHELASTIC_RUN_ID" not in os.environ and given["WORLD_SIZE"] != "1":
        raise UserError(
            f"the variable WORLD_SIZE is {given['WORLD_SIZE']}, but torchrun has not started this "
            "process: start with torchrun, or unset RANK"
        )


def _check_srun(given: dict[str, str]) -> None:
    alone = "or, to train in one process, set SLURM_JOB_NAME=interactive"
    if missing := [name for name in _SRUN if name not in given]:
        raise UserError(
            f"SLURM_NTASKS is set, but not {', '.join(missing)}: srun did not start this process: "
            f"start with `srun python train.py`, {alone}"
        )
    if (num_tasks := given["SLURM_NTASKS"]) == "1":
        return
    in_a_step = {"SLURM_STEP_ID", "SLURM_STEPID"} & set(os.environ)
    if "SLURM_JOB_ID" in os.environ and not in_a_step:
        raise UserError(
            f"SLURM has {num_tasks} tasks for this job, but this process is not one of them: start "
            f"with `srun python train.py`, {alone}"
        )
    if "SLURM_NTASKS_PER_NODE" not in given:
        raise UserError(
            f"SLURM_NTASKS is {num_tasks}, but SLURM_NTASKS_PER_NODE is not set: give sbatch or "
            "srun its ntasks-per-node in place of ntasks"
        )


def _by_hand() -> bool:
    """Whether Lightning ignores SLURM in this job: a person starts processes without srun."""
    return os.environ.get("SLURM_JOB_NAME") in ("bash", "interactive")


def launch_id() -> str | None:
    """torchrun's --rdzv_id, by which restarted processes are recognized.

    On one machine torchrun makes one. None without torchrun, and on several machines without an id.
    """
    name = os.environ.get("TORCHELASTIC_RUN_ID", "none")
    return None if name == "none" else name


def job_id() -> str | None:
    """An id that all processes of a run share: `launch_id`, or else SLURM's number of the job."""
    return launch_id() or os.environ.get("SLURM_JOB_ID")


def was_restarted() -> bool:
    """Whether torchrun has restarted these processes, or SLURM this job."""
    names = ("TORCHELASTIC_RESTART_COUNT", "SLURM_RESTART_COUNT")
    return any(os.environ.get(name, "0") != "0" for name in names)


def restarts_would_wait() -> bool:
    """Whether processes that torchrun restarts would wait for processes that no longer exist.

    They share a store with torchrun's agent, which keeps the old addresses (torch 2.13).
    """
    may_restart = os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0") != "0"
    return may_restart and os.environ.get("TORCH_DISABLE_SHARE_RDZV_TCP_STORE") != "1"


def knows_its_machine() -> bool:
    """Whether the variables say which of several machines this is, and the main one's address."""
    return {"NODE_RANK", "MASTER_ADDR"} <= set(os.environ)


def num_sharing_cores(num_local_devices: int) -> int:
    """How many processes share the cores that this one may use: srun gives each its own."""
    return 1 if "SLURM_PROCID" in os.environ else num_local_devices


def runs_alone(devices: int | str, num_nodes: int, accelerator: str) -> bool:
    """Whether a run has one process: on a CPU, `auto` devices are one."""
    own = (1 if devices == "auto" and accelerator == "cpu" else devices, num_nodes)
    return (launched_sizes() or own) == (1, 1)


def launched_sizes() -> tuple[int, int] | None:
    """Processes per node and number of nodes, from torchrun or srun; None without either."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        per_node = int(os.environ["LOCAL_WORLD_SIZE"])
        return per_node, int(os.environ["WORLD_SIZE"]) // per_node
    if "SLURM_NTASKS_PER_NODE" in os.environ and not _by_hand():
        return int(os.environ["SLURM_NTASKS_PER_NODE"]), int(os.environ["SLURM_NNODES"])
    return None
