"""Hardware settings for other machines: availability is patched, and nothing is computed."""

import os

import pytest
import torch

from transformer.config.files import load_config
from transformer.run.assembly import choose_hardware
from transformer.run.settling import settle
from transformer.system.devices import device_name, resolve_accelerator, used_memory
from transformer.system.errors import UserError
from transformer.training import choices
from transformer.training.choices import Chooser
from transformer.training.hardware import (
    COMPILED_PETAFLOP,
    Hardware,
    has_compiler,
    resolve_compile,
    trainer_arguments,
)

MACHINES = {
    "old processor": {},
    "new processor": {"cpu_bf16": True},
    "mac": {"mps": True},
    "old gpu": {"cuda": 1, "cpu_bf16": True},
    "T4": {"cuda": 1, "capability": (7, 5)},
    "two new gpus": {"cuda": 2, "cuda_bf16": True, "capability": (9, 0)},
}


def trainer_arguments_of(*, precision, accelerator, **settings):
    chooser = Chooser(accelerator=resolve_accelerator(accelerator))
    precision = chooser.precision(precision, 32).name
    return trainer_arguments(Hardware(precision=precision, accelerator=accelerator, **settings))


@pytest.fixture
def machine(monkeypatch):
    for name, value in {"NODE_RANK": "1", "MASTER_ADDR": "10.0.0.1"}.items():
        monkeypatch.setenv(name, value)  # for several of them

    def pretend(name):
        has = {"cuda": 0, "cuda_bf16": False, "capability": (6, 1), "mps": False}
        has |= {"cpu_bf16": False} | MACHINES[name]
        monkeypatch.setattr(torch.cuda, "is_available", lambda: has["cuda"] > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: has["cuda"])
        # An old GPU emulates bfloat16, slowly: asked without the keyword, torch says yes.
        monkeypatch.setattr(
            torch.cuda,
            "is_bf16_supported",
            lambda including_emulation=True: including_emulation or has["cuda_bf16"],
        )
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: has["mps"])
        seconds = {"float32": 1.0, "bf16": 0.5 if has["cpu_bf16"] else 47.0}
        monkeypatch.setattr(
            choices,
            "seconds_of",
            lambda _, ways, *__, **___: {w: seconds.get(w, 1.0) for w in ways},
        )
        monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: has["cuda"] > 0)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: has["capability"])

    return pretend


@pytest.mark.parametrize(
    ("name", "accelerator", "devices", "precision", "expected"),
    [
        ("old processor", "auto", "auto", "auto", ("cpu", 1, "32-true")),
        ("old processor", "cpu", 2, "bf16", ("cpu", 2, "bf16-mixed")),
        ("new processor", "auto", 1, "auto", ("cpu", 1, "bf16-mixed")),
        ("new processor", "auto", 1, "float32", ("cpu", 1, "32-true")),
        ("mac", "auto", "auto", "auto", ("mps", 1, "32-true")),
        ("mac", "mps", 1, "fp16", ("mps", 1, "16-mixed")),
        ("mac", "cpu", 1, "auto", ("cpu", 1, "32-true")),
        ("old gpu", "auto", "auto", "auto", ("cuda", 1, "32-true")),
        ("old gpu", "auto", 1, "fp16", ("cuda", 1, "16-mixed")),
        ("T4", "auto", 1, "auto", ("cuda", 1, "16-mixed")),
        ("T4", "auto", 1, "float32", ("cuda", 1, "32-true")),
        ("old gpu", "cpu", "auto", "auto", ("cpu", 1, "bf16-mixed")),
        ("two new gpus", "auto", "auto", "auto", ("cuda", 2, "bf16-mixed")),
        ("two new gpus", "cuda", 1, "auto", ("cuda", 1, "bf16-mixed")),
        ("two new gpus", "auto", 1, "float32", ("cuda", 1, "32-true")),
        ("two new gpus", "cpu", "auto", "auto", ("cpu", 1, "32-true")),
    ],
)
def test_the_trainers_arguments(machine, name, accelerator, devices, precision, expected):
    machine(name)
    arguments = trainer_arguments_of(
        accelerator=accelerator, devices=devices, num_nodes=3, strategy="ddp", precision=precision
    )
    keys = ("accelerator", "devices", "precision")
    assert arguments == dict(zip(keys, expected, strict=True)) | {"num_nodes": 3, "strategy": "ddp"}


@pytest.mark.parametrize(
    ("name", "missing", "message"),
    [
        (
            "old processor",
            "cuda",
            r"cuda: torch .* finds no such device on this machine; it has cpu:",
        ),
        ("old processor", "mps", "mps: torch .* it has cpu:"),
        ("mac", "cuda", "cuda: torch .* it has mps, cpu: give one of these, or auto"),
        ("two new gpus", "mps", "mps: torch .* it has cuda, cpu: give one of these, or auto"),
    ],
)
def test_asking_for_a_device_that_is_not_there_says_which_are(machine, name, missing, message):
    machine(name)
    with pytest.raises(UserError, match=message):
        trainer_arguments_of(
            accelerator=missing, devices=1, num_nodes=1, strategy="auto", precision="auto"
        )


def arguments_under_torchrun(monkeypatch, devices, num_nodes):
    names = {"TORCHELASTIC_RUN_ID": "none", "LOCAL_WORLD_SIZE": "2", "WORLD_SIZE": "6"}
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    return trainer_arguments_of(
        accelerator="cpu",
        devices=devices,
        num_nodes=num_nodes,
        strategy="auto",
        precision="float32",
    )


@pytest.mark.parametrize(("devices", "num_nodes"), [(1, 1), ("auto", 3), (2, 1), (2, 3)])
def test_torchruns_processes_count_where_the_config_names_no_others(
    monkeypatch, devices, num_nodes
):
    arguments = arguments_under_torchrun(monkeypatch, devices, num_nodes)
    assert (arguments["devices"], arguments["num_nodes"]) == (2, 3)


@pytest.mark.parametrize(
    ("devices", "num_nodes", "message"),
    [
        (4, 3, "devices is 4, but torchrun or srun has started 2: leave out `devices`, or"),
        (2, 2, "num_nodes is 2, but torchrun or srun has started 3: leave out `num_nodes`, or"),
    ],
)
def test_other_numbers_than_torchruns_are_refused(monkeypatch, devices, num_nodes, message):
    with pytest.raises(UserError, match=message):
        arguments_under_torchrun(monkeypatch, devices, num_nodes)


def test_several_machines_need_a_launcher_or_a_place(machine, monkeypatch):
    machine("old processor")
    settings = {"devices": 1, "num_nodes": 2, "strategy": "ddp", "precision": "float32"}
    assert trainer_arguments_of(accelerator="cpu", **settings)["num_nodes"] == 2
    monkeypatch.delenv("NODE_RANK")
    with pytest.raises(UserError, match="num_nodes is 2, but nothing says which machine this is"):
        trainer_arguments_of(accelerator="cpu", **settings)


def test_more_gpus_than_there_are_are_refused(machine, monkeypatch):
    machine("old gpu")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    settings = {"num_nodes": 1, "strategy": "auto", "precision": "auto"}
    with pytest.raises(UserError, match="devices is 3, but 2 are found here: give `devices=2`"):
        trainer_arguments_of(accelerator="cuda", devices=3, **settings)
    assert trainer_arguments_of(accelerator="cuda", devices=2, **settings)["devices"] == 2
    assert trainer_arguments_of(accelerator="cuda", devices="auto", **settings)["devices"] == 2


def test_fp16_on_a_processor_is_refused(machine):
    machine("old processor")
    with pytest.raises(UserError, match="fp16 needs a GPU, and accelerator is cpu"):
        trainer_arguments_of(
            accelerator="auto", devices=1, num_nodes=1, strategy="auto", precision="fp16"
        )


@pytest.mark.parametrize(("name", "expected"), [("mac", "mps"), ("old gpu", "cuda")])
def test_auto_takes_the_fastest_there_is_and_a_name_is_kept(machine, name, expected):
    machine(name)
    assert resolve_accelerator("auto") == expected
    assert resolve_accelerator(expected) == expected
    assert resolve_accelerator("cpu") == "cpu"


def test_auto_compiles_on_cuda_alone():
    kinds = ("cpu", "mps", "cuda")
    assert [resolve_compile("auto", kind, "auto") for kind in kinds] == [False, False, True]
    short = [resolve_compile("auto", kind, "auto", COMPILED_PETAFLOP / 2) for kind in kinds]
    assert short == [False] * 3  # compiling would take longer than it saves
    assert resolve_compile(True, "cuda", "auto", 0.0)
    assert [resolve_compile("auto", kind, "fsdp") for kind in kinds] == [False] * 3
    assert [resolve_compile(True, kind, "ddp") for kind in kinds] == [True] * 3
    assert [resolve_compile(False, kind, "auto") for kind in kinds] == [False] * 3


def test_a_device_is_named_as_a_person_would(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA Something")
    assert device_name(torch.device("cuda")) == "NVIDIA Something"
    assert "cpu, " in device_name(torch.device("cpu"))


def test_a_compiler_is_one_that_is_found(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}" if name == "g++" else None)
    assert has_compiler("cpu")
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert not has_compiler("cpu")


NINE_KEYS = """
batch_size: 256
epochs: 2
lr: 3e-4
data_path:  './data/input.txt'
block_size: 256
num_heads: 8
embedding_dim: 512
num_blocks: 6
num_workers: 12
"""


@pytest.mark.parametrize(
    ("name", "lines", "expected"),
    [
        ("old processor", "", ("cpu", 1, "auto", "32-true")),
        ("new processor", "", ("cpu", 1, "auto", "bf16-mixed")),
        ("new processor", "precision: float32", ("cpu", 1, "auto", "32-true")),
        ("mac", "", ("mps", 1, "auto", "32-true")),
        ("mac", "accelerator: cpu", ("cpu", 1, "auto", "32-true")),
        ("old gpu", "precision: fp16", ("cuda", 1, "auto", "16-mixed")),
        ("T4", "", ("cuda", 1, "auto", "16-mixed")),
        ("T4", "strategy: fsdp", ("cuda", 1, "fsdp", "32-true")),  # which does not go with fp16
        ("two new gpus", "devices: auto\nstrategy: ddp", ("cuda", 2, "ddp", "bf16-mixed")),
        ("two new gpus", "num_nodes: 3\ndevices: 2", ("cuda", 2, "auto", "bf16-mixed")),
    ],
)
def test_yaml_becomes_these_trainer_arguments_of(machine, tmp_path, name, lines, expected):
    machine(name)
    path = tmp_path / "config.yaml"
    path.write_text(NINE_KEYS + lines + "\n", encoding="utf-8")
    arguments = choose_hardware(settle(load_config(path)))
    keys = ("accelerator", "devices", "strategy", "precision")
    assert tuple(arguments[key] for key in keys) == expected
    assert arguments["num_nodes"] == (3 if "num_nodes" in lines else 1)


def test_a_process_has_used_what_torch_takes_at_least_and_no_more_than_there_is():
    pytest.importorskip("resource")
    used = used_memory(torch.device("cpu"))
    assert 50e6 < used < os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
