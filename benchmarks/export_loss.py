"""What each number format of an export costs in quality:
`python benchmarks/export_loss.py [CHECKPOINT] [--num_tokens 4096]`

Exports a checkpoint of a text model as GGUF and as HTML in each number format, lets llama.cpp and
the page's engine in Node score the end of the text that it was trained on, which is its validation
part, and compares with the same windows here. The windows have block_size tokens and do not
overlap. Ratios of perplexities, differences of logits and sizes go to export_loss.json.
"""

import argparse
import json
import math
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from jaxtyping import Float, Int
from record import save
from torch import Tensor

from transformer.evaluation.own_data import find_own_text
from transformer.export.options import ExportOptions
from transformer.export.registry import FORMATS
from transformer.export.reloaded import Reloaded
from transformer.models.base import evaluating
from transformer.storage.model_file import load_model
from transformer.storage.run_folder import find_model
from transformer.storage.saved_model import SavedModel

EXPORTS = ("gguf", "html")


def windows_of(saved: SavedModel, num_tokens: int) -> Int[Tensor, "W T"]:
    text = find_own_text(saved)
    assert text is not None, f"{saved.path}: the text that it was trained on is not there"
    ids = torch.from_numpy(saved.tokenizer.encode(text.characters)[-num_tokens:]).long()
    return ids[: len(ids) // saved.model.block_size * saved.model.block_size].view(
        -1, saved.model.block_size
    )


@torch.inference_mode()
def scores(
    saved: SavedModel, windows: Int[Tensor, "W T"], theirs: Reloaded
) -> tuple[float, float, float]:
    """The mean losses in nats, here and there, and the largest difference of two logits.

    It is a share of the spread of all logits.
    """
    losses, differences = [], []
    with evaluating(saved.model):
        for window in windows:
            ours = theirs.comparable(saved.model(window[None]))[0, :-1].double()
            found: Float[Tensor, "N V"] = theirs.logits(window[None])[0, : len(ours)].double()
            targets = window[1 : len(ours) + 1, None]
            sides = (ours.log_softmax(-1), found.log_softmax(-1))
            losses.append([-side.gather(1, targets).mean().item() for side in sides])
            differences.append(((found - ours).abs().max() / ours.std()).item())
    here, there = torch.tensor(losses, dtype=torch.float64).mean(dim=0).tolist()
    return here, there, max(differences)


def measure(saved: SavedModel, num_tokens: int) -> list[dict[str, Any]]:
    windows = windows_of(saved, num_tokens)
    rows = []
    for to, name in [(kind, name) for kind in EXPORTS for name in FORMATS[kind].number_formats]:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "export"
            options = ExportOptions(to=to, out=str(path), format=name)
            kind = FORMATS[to](options)
            kind.write(saved, path)
            here, there, difference = scores(saved, windows, kind.reload(path))
            rows.append(
                {
                    "export": to,
                    "format": name,
                    "bytes": path.stat().st_size,
                    "loss_here": here,
                    "loss_difference": there - here,
                    "perplexity_ratio": math.exp(there - here),
                    "largest_difference": difference,
                }
            )
        print(json.dumps(rows[-1]), flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", nargs="?")
    parser.add_argument("--num_tokens", type=int, default=4096)
    arguments = parser.parse_args()
    saved = load_model(find_model(arguments.checkpoint, "runs"))
    figures = {
        "parameters": sum(parameter.numel() for parameter in saved.model.parameters()),
        "steps": saved.results.get("steps"),
        "tokens": arguments.num_tokens,
        "formats": measure(saved, arguments.num_tokens),
    }
    print(save("export_loss", figures))


if __name__ == "__main__":
    main()
