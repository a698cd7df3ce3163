"""Measures tokens/s of generation: our GPT, ours without a cache, and Hugging Face's GPT-2.

`python benchmarks/generate_speed.py` makes GPTs of equal shapes with random weights. It samples
from each in turn (temperature 1, a prompt of one token), in several rounds. Medians and their
ratios go to generate_speed.json. Our model uses the number format that generate.py chooses,
and the larger model also float32. The others use float32.

`--checkpoint FILE --data_path FILE` adds two measurements of a trained model: its exact loss over
the validation split in each number format, and the time of a whole process `generate.py FILE
--max_new_tokens 1`, compared with a process that only imports torch.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import baseline
import torch
from record import ROOT, save

from transformer.data.text.corpus import Corpus
from transformer.decoding.sampling import Sampler
from transformer.evaluation.text import score_model
from transformer.generation import number_formats
from transformer.models.base import TokenModel
from transformer.models.gpt import GPT
from transformer.storage.model_file import load_model

SMALL = {"num_blocks": 4, "num_heads": 4, "embedding_dim": 128, "block_size": 64}
LARGE = {"num_blocks": 6, "num_heads": 6, "embedding_dim": 384, "block_size": 256}
VOCAB_SIZE = 65
# Name: shape, samples, new tokens, sides, rounds. Hugging Face's GPT-2 stops at its context.
CASES: dict[str, tuple[dict[str, int], int, int, tuple[str, ...], int]] = {
    "0.8 M, one stream": (SMALL, 1, 63, ("ours", "hugging face", "uncached"), 9),
    "10.7 M, one stream": (LARGE, 1, 255, ("ours", "ours float32", "hugging face", "uncached"), 5),
    "10.7 M, past the context": (LARGE, 1, 1000, ("ours", "uncached"), 3),
    "10.7 M, 64 samples": (LARGE, 64, 255, ("ours", "ours float32", "hugging face"), 3),
}
Generate = Callable[[torch.Tensor, int], torch.Tensor]


def make_ours(shape: dict[str, int]) -> TokenModel:
    torch.manual_seed(0)
    return GPT(vocab_size=VOCAB_SIZE, activation="gelu_tanh", **shape).eval()


def chosen_format(shape: dict[str, int], num_samples: int) -> str:
    return number_formats.fastest_format("cpu", make_ours(shape).architecture, num_samples).name


def ours(shape: dict[str, int], num_samples: int, number_format: str = "") -> Generate:
    model = make_ours(shape)
    number_formats.prepare(model, "cpu", number_format or "auto", num_rows=num_samples)
    return lambda tokens, count: model.generate(tokens, max_new_tokens=count)


def uncached(shape: dict[str, int], num_samples: int) -> Generate:
    """Each new token needs a forward pass over the last block_size tokens."""
    model = make_ours(shape)

    @torch.inference_mode()
    def generate(tokens: torch.Tensor, count: int) -> torch.Tensor:
        sampler = Sampler()
        for _ in range(count):
            new = sampler(model(tokens[:, -model.block_size :])[:, -1])
            tokens = torch.cat((tokens, new[:, None]), dim=1)
        return tokens

    return generate


def hugging_face(shape: dict[str, int], num_samples: int) -> Generate:
    torch.manual_seed(0)
    model = baseline.make_model(VOCAB_SIZE, **shape).eval()
    settings: dict[str, Any] = {"do_sample": True, "top_k": 0, "use_cache": True}
    settings |= {"pad_token_id": 0, "eos_token_id": None}
    return lambda tokens, count: model.generate(
        tokens,
        attention_mask=torch.ones_like(tokens),
        max_new_tokens=count,
        **settings,
    )


SIDES = {
    "ours": ours,
    "ours float32": partial(ours, number_format="float32"),
    "uncached": uncached,
    "hugging face": hugging_face,
}


def tokens_per_second(generate: Generate, num_samples: int, count: int) -> float:
    tokens = torch.zeros(num_samples, 1, dtype=torch.long)
    started_at = time.perf_counter()
    made = generate(tokens, count)
    elapsed_seconds = time.perf_counter() - started_at
    assert made.shape == (num_samples, 1 + count)
    return num_samples * count / elapsed_seconds


def measure(case: str) -> dict[str, Any]:
    shape, num_samples, count, names, rounds = CASES[case]
    sides = {name: SIDES[name](shape, num_samples) for name in names}
    rates: dict[str, list[float]] = {name: [] for name in names}
    for generate in sides.values():
        tokens_per_second(generate, num_samples, 8)  # warms up
    for _ in range(rounds):
        for name, generate in sides.items():
            rates[name].append(tokens_per_second(generate, num_samples, count))
    medians = {name: median(values) for name, values in rates.items()}
    ratios = {f"ours / {name}": medians["ours"] / medians[name] for name in names if name != "ours"}
    return {
        "format": chosen_format(shape, num_samples),
        "tokens_per_second": medians,
        "ratios": ratios,
        "rounds": rates,
    }


def measure_losses(checkpoint: str, data_path: str) -> dict[str, Any]:
    """The exact validation loss in each format."""
    losses = {}
    for name in number_formats.FORMATS:
        saved = load_model(checkpoint)
        number_formats.convert(saved.model, name)
        corpus = Corpus.from_file(data_path, val_fraction=saved.config["val_fraction"])
        losses[name] = score_model(saved.model, corpus.val, corpus.tokenizer).loss
    return {"parameters": sum(p.numel() for p in saved.model.parameters()), "losses": losses}


def measure_startup(checkpoint: str, rounds: int = 7) -> dict[str, float]:
    """Median seconds of whole processes, run in turn."""
    script = str(ROOT / "generate.py")
    commands = {
        "import torch": ["-c", "import torch"],
        "generate.py": [script, checkpoint, "--max_new_tokens", "1"],
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, arguments in commands.items():
            started_at = time.perf_counter()
            subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
            seconds[name].append(time.perf_counter() - started_at)
    return {name: median(values) for name, values in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--checkpoint", help="a trained model, with --data_path")
    parser.add_argument("--data_path", help="the text that it was trained on")
    arguments = parser.parse_args()
    figures: dict[str, Any] = {}
    if arguments.checkpoint:
        figures["losses"] = measure_losses(arguments.checkpoint, arguments.data_path)
        figures["startup"] = measure_startup(arguments.checkpoint)
        print(json.dumps(figures), flush=True)
    for case in arguments.cases:
        figures[case] = measure(case)
        shown = {name: figures[case][name] for name in ("tokens_per_second", "ratios")}
        print(case, json.dumps(shown), flush=True)
    print(save("generate_speed", figures))


if __name__ == "__main__":
    main()
