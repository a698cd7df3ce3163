"""With what this process trains: the program, its packages and the hardware."""

import platform
import sys
from importlib.metadata import version
from pathlib import Path

import torch

from transformer.config.keys import Config
from transformer.run.starting import read_start
from transformer.storage.adapter_file import hash_of_weights
from transformer.storage.repeat_record import Part
from transformer.system.devices import processor_name
from transformer.system.git import commit_of

ROOT = Path(__file__).parents[2]


def circumstances(accelerator: str = "cpu", num_devices: int = 1) -> Part:
    """After the number of threads was chosen."""
    cuda = accelerator == "cuda"
    names = [torch.cuda.get_device_name(number) for number in range(num_devices if cuda else 0)]
    return Part(
        commit=commit_of(ROOT),
        versions={
            "python": platform.python_version(),
            "torch": torch.__version__,
            "pytorch-lightning": version("pytorch-lightning"),
            "transformer": sys.modules["transformer"].__version__,
        },
        processor=processor_name(),
        num_threads=torch.get_num_threads(),
        devices=names or [accelerator] * num_devices,
    )


def hash_of_start(config: Config, resume: Path | None) -> str | None:
    """Of the weights with which a new run begins, if they are a model's."""
    if config.start_from is None or resume is not None:
        return None
    return hash_of_weights(read_start(config.start_from))
