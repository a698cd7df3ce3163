"""How fast are minimal pairs scored, and as transformers does? `python benchmarks/minimal_pairs.py

--checkpoint MODEL --exportable MODEL --pairs FILE`

FILE has the 67,000 pairs of BLiMP: `cat blimp/data/*.jsonl > blimp.jsonl`. Both models are ones of
characters. `--checkpoint` scores pairs that are drawn at random, on one thread; the least of some
repeats counts. `seconds_of_all` is what all pairs take on two idle cores at this speed, where each
core has batches of its own. Other programs on the machine make processor seconds longer, so the
machine should be idle. `--exportable` is exported for transformers and loaded there, which scores
other pairs one sentence at a time, without batches.
"""

import argparse
import random
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from record import save

from transformer.evaluation.minimal_pairs.preferences import points
from transformer.evaluation.minimal_pairs.reading import (
    encode_pairs,
    read_minimal_pairs,
)
from transformer.evaluation.minimal_pairs.report import begin_of
from transformer.evaluation.minimal_pairs.scoring import score_with_model
from transformer.export.exporting import export
from transformer.export.hugging_face.reloaded import ReloadedFolder
from transformer.export.options import ExportOptions
from transformer.export.registry import FORMATS
from transformer.models.base import TokenModel
from transformer.storage.model_file import load_model
from transformer.storage.saved_model import SavedModel

CORES = 2
REPEATS = 3


def drawn_pairs(saved: SavedModel, path: str, number: int) -> tuple[list[Any], int]:
    """Sentences of pairs that are drawn, each after its line end, and the number of all pairs.

    Without sentences longer than block_size: those are read in several windows here only.
    """
    pairs = read_minimal_pairs(path)
    most = saved.model.block_size
    short = [pair for pair in pairs if max(len(pair.acceptable), len(pair.unacceptable)) <= most]
    drawn = random.Random(0).sample(short, number)
    encoded, _ = encode_pairs(path, drawn, saved.tokenizer, skip_unknown=False)  # type: ignore[arg-type]
    begin = np.array(begin_of(saved), dtype=np.int32)
    return [np.concatenate((begin, side)) for pair in encoded for side in pair], len(pairs)


def scored(saved: SavedModel, sentences: list[Any]) -> np.ndarray:
    assert isinstance(saved.model, TokenModel)
    return score_with_model(saved.model, sentences, 1, saved.model.block_size).reshape(-1, 2)


def speed(checkpoint: str, path: str, number: int) -> dict[str, Any]:
    saved = load_model(Path(checkpoint))
    sentences, num_all = drawn_pairs(saved, path, number)
    torch.set_num_threads(1)
    seconds = []
    for _ in range(REPEATS):
        before = time.process_time()
        scored(saved, sentences)
        seconds.append(time.process_time() - before)
    return {
        "parameters": sum(p.numel() for p in saved.model.parameters()),
        "pairs": number,
        "tokens": sum(map(len, sentences)),
        "processor_seconds": seconds,
        "seconds_of_all": min(seconds) / number * num_all / CORES,
    }


@torch.inference_mode()
def log_likelihood(model: Any, ids: np.ndarray) -> float:
    tokens = torch.from_numpy(ids).long()
    logits = model(tokens[None]).logits[0, :-1].log_softmax(dim=-1)
    return logits.gather(1, tokens[1:, None]).double().sum().item()


def comparison(checkpoint: str, path: str, number: int) -> dict[str, Any]:
    saved = load_model(Path(checkpoint))
    sentences, _ = drawn_pairs(saved, path, number)
    ours = scored(saved, sentences)
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home, "out")
        kind = FORMATS["huggingface"](ExportOptions(to="huggingface", out=str(folder)))
        list(export(saved, kind, kind.place(str(folder), force=False)))
        model = ReloadedFolder(folder).model
        theirs = np.array([log_likelihood(model, ids) for ids in sentences]).reshape(-1, 2)
    return {
        "parameters": sum(p.numel() for p in saved.model.parameters()),
        "pairs": number,
        "equal_choices": int((points(ours, 0.0) == points(theirs, 0.0)).sum()),
        "largest_difference": float(np.abs(ours - theirs).max()),
        "median_preference": float(np.median(np.abs(theirs[:, 0] - theirs[:, 1]))),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("?")[0])
    for name in ("checkpoint", "exportable", "pairs"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--timed_pairs", type=int, default=2000)
    parser.add_argument("--compared_pairs", type=int, default=1000)
    arguments = parser.parse_args()
    figures = {
        "speed": speed(arguments.checkpoint, arguments.pairs, arguments.timed_pairs),
        "comparison": comparison(arguments.exportable, arguments.pairs, arguments.compared_pairs),
    }
    print(f"{figures}\nsaved in {save('minimal_pairs', figures)}")


if __name__ == "__main__":
    main()
