"""Times the checkpoints of a 10.7 M model: `python benchmarks/checkpoint_time.py`

Writes the checkpoint of a real run (weights, AdamW's moments, random numbers) several times into a
temporary folder. Reports the median seconds, including the flush to the disk, and the share of
training time at the default `checkpoint_every_minutes`. Results: checkpoint_time.json.
"""

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median

import torch
from record import ROOT, save

from transformer.config.keys import Config
from transformer.storage.metadata import checksum, model_tensors
from transformer.storage.run_folder import LAST
from transformer.training.callbacks.checkpoints import RunCheckpointIO
from transformer.training.lightning_module import METADATA_KEY, STATE_KEY

SHAPE = {"block_size": 256, "embedding_dim": 384, "num_heads": 6, "num_blocks": 6}


def checkpoint_of_a_run(home: Path) -> Path:
    import train
    from transformer.config.files import load_config

    flags = {"runs_dir": str(home), "max_steps": 1, "batch_size": 1, "sample_prompt": "A"}
    flags["data_path"] = str(ROOT / "README.md")
    config = load_config(ROOT / "configs" / "gpt2-recipe-cpu.yaml", flags | SHAPE)
    return train.train(config) / LAST


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory(dir=ROOT) as folder:
        home = Path(folder)
        content = torch.load(checkpoint_of_a_run(home), weights_only=True)
        io = RunCheckpointIO()
        times = []
        for _ in range(rounds):
            started_at = time.perf_counter()
            checksum(content[METADATA_KEY], model_tensors(content["state_dict"]))
            io.save_checkpoint(content, home / "checkpoints" / LAST.name)
            times.append(time.perf_counter() - started_at)
        num_bytes = (home / "checkpoints" / LAST.name).stat().st_size
    every = Config.model_fields["checkpoint_every_minutes"].default * 60
    weights = content["state_dict"].values()
    figures = {
        "num_parameters": sum(tensor.numel() for tensor in weights),
        "bytes": num_bytes,
        "seconds": median(times),
        "every_seconds": every,
        "share_of_time": median(times) / every,
        "rounds": times,
    }
    assert STATE_KEY in content
    print(figures)
    print(save("checkpoint_time", figures))


if __name__ == "__main__":
    main()
