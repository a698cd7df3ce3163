"""Checks that a run in several processes equals a run in one: `python benchmarks/devices.py`

A small GPT trains on a CPU (1) in one process, in two that share each batch (ddp), and in two that
also share the weights (fsdp); (2) with a checkpoint that moves between different numbers of
processes; (3) under two torchrun agents, as on two machines (network namespaces, if they can be
made), where one agent loses its worker and starts it again; (4) with an error in the second
process. The results go to devices.json.
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from crash_test import write_text
from machines import Machine, two_machines
from record import DEFAULT_CONFIG, ROOT, load, save
from tabulate import tabulate

from transformer.config.files import load_config
from transformer.data.built_in.registry import build_source
from transformer.run.comparison import curves, differences
from transformer.storage.run_folder import LAST, PREVIOUS

STEPS = 50
FLAGS = {
    **{"epochs": 1000, "lr": 1e-3, "block_size": 32, "num_heads": 4, "embedding_dim": 64},
    **{"num_blocks": 2, "num_workers": 0, "dropout": 0, "optimizer": "adamw", "max_steps": STEPS},
    **{"schedule": "constant", "val_every_steps": 10},
    **{"accelerator": "cpu", "precision": "float32"},
}
GLOBAL_BATCH = 8
SIDES = {
    "one process": {"devices": 1},
    "ddp": {"devices": 2, "strategy": "ddp"},
    "fsdp": {"devices": 2, "strategy": "fsdp"},
}
MOVES = (
    *(("ddp", "one process"), ("one process", "ddp")),
    *(("fsdp", "one process"), ("one process", "fsdp"), ("ddp", "fsdp")),
)
ONE = "runs/one_process/version_0"
LONG = {"max_steps": 600, "dropout": 0.1, "checkpoint_every_minutes": 0.003}
FAILING = """
import pathlib, time
import pytorch_lightning as pl, train
class Fails(pl.Callback):
    def on_train_batch_end(self, trainer, *_):
        if trainer.global_rank == 1 and trainer.global_step == 5:
            pathlib.Path("failed_at").write_text(str(time.time()))
            raise ValueError("this went wrong on rank 1")
if __name__ == "__main__":
    train.train(train.parse_arguments().config, callbacks=[Fails()])
"""
END_SECONDS = 600


def flags(name: str, **keys: Any) -> list[str]:
    keys = FLAGS | {"data_path": "text.txt", "run_name": name} | keys
    keys["batch_size"] = GLOBAL_BATCH // (keys["devices"] * keys.get("num_nodes", 1))
    return [*DEFAULT_CONFIG, *(f"--{key}={value}" for key, value in keys.items())]


def start(
    home: Path, *command: str, prefix: Sequence[str] = (), **variables: str
) -> subprocess.Popen:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)} | variables
    return subprocess.Popen(
        [*prefix, sys.executable, *command],
        cwd=home,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen) -> tuple[int, str]:
    _, errors = process.communicate(timeout=END_SECONDS)
    return process.returncode, errors


def train(home: Path, name: str, *arguments: str, **keys: Any) -> Path:
    status, errors = finish(start(home, str(ROOT / "train.py"), *flags(name, **keys), *arguments))
    if status:
        raise RuntimeError(errors)
    return home / "runs" / name / "version_0"


def largest_difference(one: Path, other: Path) -> float:
    """Relative, of losses and gradient norms, over all steps that the first run logged."""
    ours, theirs = curves(one), curves(other)
    return max(
        abs(value - dict(theirs[name])[step]) / abs(value)
        for name in ("train_loss", "val_loss", "grad_norm")
        for step, value in ours[name]
    )


def text_of(home: Path, run: Path) -> str:
    command = [sys.executable, str(ROOT / "generate.py"), str(run), "--max_new_tokens", "200"]
    command += ["--seed", "1"]
    answer = subprocess.run(command, cwd=home, capture_output=True, text=True, check=True)
    return answer.stdout


def same_curves(home: Path) -> dict[str, Any]:
    runs = {side: train(home, side.replace(" ", "_"), **keys) for side, keys in SIDES.items()}
    one = runs["one process"]
    return {
        "ddp against one process": largest_difference(one, runs["ddp"]),
        "fsdp against ddp": largest_difference(runs["ddp"], runs["fsdp"]),
        "fsdp generates the text of ddp": text_of(home, runs["fsdp"]) == text_of(home, runs["ddp"]),
    }


def moved(home: Path, moves: Sequence[tuple[str, str]] = MOVES) -> dict[str, float]:
    """Trains half of the steps on one side, half on another, and compares with one process."""
    found = {}
    for first, then in moves:
        name = f"{first}_{then}".replace(" ", "_")
        run = train(home, name, **SIDES[first] | {"max_steps": STEPS // 2})
        keys = SIDES["one process"] | {"strategy": "auto"} | SIDES[then]
        keys |= {"max_steps": STEPS, "batch_size": GLOBAL_BATCH // keys["devices"]}
        changes = [f"--{key}={value}" for key, value in keys.items()]
        status, errors = finish(
            start(home, str(ROOT / "train.py"), "--resume", str(run / LAST), *changes)
        )
        if status:
            raise RuntimeError(errors)
        found[f"{first}, then {then}"] = largest_difference(home / ONE, run)
    return found


def torchrun(home: Path, name: str, machines: list[Machine]) -> list[subprocess.Popen]:
    """Starts an agent with one worker on each of two machines."""
    port = free_port()
    options = f"--nnodes 2 --nproc_per_node 1 --max-restarts 3 --rdzv_backend c10d --rdzv_id {name}"
    keys = {"devices": 1, "num_nodes": 2, "strategy": "ddp"} | LONG
    command = ["-m", "torch.distributed.run", *options.split()]
    command += ["--rdzv_endpoint", f"{machines[0].address}:{port}"]
    script = [str(ROOT / "train.py"), *flags(name, **keys)]
    return [
        start(
            home,
            *(*command, "--rdzv_conf", f"is_host={int(machine is machines[0])}"),
            *("--local-addr", machine.address, *script),
            prefix=machine.prefix,
            GLOO_SOCKET_IFNAME=machine.interface,
            TORCH_DISABLE_SHARE_RDZV_TCP_STORE="1",  # else a lost worker's address stays
        )
        for machine in machines
    ]


def restarted(home: Path) -> dict[str, Any]:
    """Runs two agents undisturbed, then again with a worker killed after its first checkpoints."""
    runs, seconds = [], []
    with two_machines() as machines:
        for name in ("undisturbed", "killed"):
            started_at = time.monotonic()
            agents = torchrun(home, name, machines)
            run = home / "runs" / name / "version_0"
            runs.append(run)
            if name == "killed":
                kill_a_worker(agents[1], after=run / PREVIOUS)
            for agent in agents:
                status, errors = finish(agent)
                if status:
                    raise RuntimeError(errors)
            seconds.append(time.monotonic() - started_at)
    return {
        "machines": "network namespaces" if machines[0].prefix else "one loopback device",
        "differs in": differences(*runs),
        "versions": len(list(runs[1].parent.iterdir())),
        "seconds": dict(zip(("undisturbed", "with a worker killed"), seconds, strict=True)),
    }


def kill_a_worker(agent: subprocess.Popen, after: Path) -> None:
    """Waits for a file first. `ip netns exec` becomes the agent; its only child is the worker."""
    while not after.is_file():
        if agent.poll() is not None:
            raise RuntimeError(finish(agent)[1])
        time.sleep(0.05)
    tasks = Path(f"/proc/{agent.pid}/task/{agent.pid}/children").read_text(encoding="utf-8")
    os.kill(int(tasks.split()[0]), signal.SIGKILL)


def recipe(home: Path) -> dict[str, Any]:
    """Trains configs/default.yaml: once in two processes, and with three seeds in one."""
    config = ROOT / "configs" / "default.yaml"
    command = (str(ROOT / "train.py"), "--config", str(config))
    batch_size = load_config(config).batch_size
    data_path = ROOT / "data" / "input.txt"
    build_source(data_path)
    losses = []
    for devices, seed in ((2, 0), (1, 0), (1, 1), (1, 2)):
        keys = {"devices": devices, "seed": seed, "batch_size": batch_size // devices}
        keys |= {"data_path": data_path, "run_name": f"recipe_{devices}_{seed}"}
        arguments = [f"--{key}={value}" for key, value in keys.items()]
        status, errors = finish(
            start(home, *command, *arguments, OMP_NUM_THREADS=str(2 // devices))
        )
        if status:
            raise RuntimeError(errors)
        summary = home / "runs" / str(keys["run_name"]) / "version_0" / "summary.json"
        losses.append(json.loads(summary.read_text(encoding="utf-8"))["val_loss"])
    return {"val_loss of two processes": losses[0], "of seeds in one": losses[1:]}


def failed(home: Path) -> dict[str, Any]:
    (home / "failing.py").write_text(FAILING, encoding="utf-8")
    process = start(home, "failing.py", *flags("failing", **SIDES["ddp"]))
    status, errors = finish(process)  # ends when both have closed stderr
    return {
        "exit status": status,
        "seconds until all are gone": time.time() - float((home / "failed_at").read_text("utf-8")),
        "its message is shown": "this went wrong on rank 1" in errors,
    }


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def table(figures: dict[str, Any]) -> str:
    same, losses = figures["same_curves"], figures["recipe"]
    restart, failure = figures["restarted"], figures["failed"]
    seeds = ", ".join(f"{loss:z.4f}" for loss in sorted(losses["of seeds in one"]))
    rows = (
        ("ddp against one process", f"{same['ddp against one process']:.1e}"),
        ("fsdp against ddp", f"{same['fsdp against ddp']:.1e}"),
        ("checkpoints moved among them, the largest", f"{max(figures['moved'].values()):.1e}"),
        (
            f"a worker killed and restarted, two torchrun agents, {restart['machines']}",
            "differs" if restart["differs in"] else "the same bits",
        ),
        (
            "an error on rank 1: seconds until all are gone",
            f"{failure['seconds until all are gone']:.1f}",
        ),
        (
            "default.yaml, val_loss, two processes",
            f"{losses['val_loss of two processes']:z.4f}",
        ),
        ("default.yaml, val_loss, one process, three seeds", seeds),
    )
    return tabulate(rows, ("on a CPU", "measured"), tablefmt="pipe", disable_numparse=True)


def main() -> None:
    parts = (same_curves, moved, restarted, failed, recipe)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="*", default=[part.__name__ for part in parts])
    chosen = parser.parse_args().parts
    figures: dict[str, Any] = load("devices")["figures"] if len(chosen) < len(parts) else {}
    figures["config"] = FLAGS
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary)
        write_text(home)
        for part in (part for part in parts if part.__name__ in chosen):
            figures[part.__name__] = part(home)
            print(part.__name__, figures[part.__name__], flush=True)
    print(save("devices", figures))


if __name__ == "__main__":
    main()
