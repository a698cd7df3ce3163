"""Measures decoding in words/s: beam search and greedy, with and without the cache.

`python benchmarks/translate_speed.py CHECKPOINT` translates words of the test split in batches of
256, with each method in turn, in several rounds. Medians and their ratios go to
translate_speed.json. Without the cache, each step computes the whole target so far again.
The output of the encoder is always kept.
"""

import argparse
import json
import time
from functools import partial
from statistics import median
from typing import Any

import torch
from record import save
from torch import Tensor

from transformer.config.groups import taken
from transformer.data.pairs.reading import read_pairs
from transformer.data.pairs.settings import PairSettings
from transformer.generation.number_formats import fastest_format
from transformer.generation.translation import BATCH_SIZE, Translator, make_translator
from transformer.models import encoder_decoder
from transformer.storage.model_file import load_model

NUM_WORDS = 4 * BATCH_SIZE
# Name: number format ("" lets generate.py choose), beams, whether the cache is used.
SIDES: dict[str, tuple[str, int, bool]] = {
    "beam 5": ("", 5, True),
    "beam 5 uncached": ("", 5, False),
    "beam 5 float32": ("float32", 5, True),
    "beam 5 float32 uncached": ("float32", 5, False),
    "greedy": ("", 1, True),
    "greedy uncached": ("", 1, False),
}


class TokensSoFar:
    """Replaces the cache; it holds only the tokens."""

    def __init__(self, num_rows: int) -> None:
        self.tokens = torch.zeros(num_rows, 0, dtype=torch.long)
        self.sources = torch.arange(num_rows)

    def select(self, rows: Tensor) -> None:
        self.tokens, self.sources = self.tokens[rows], self.sources[rows]


class UncachedTarget(encoder_decoder.ConditionedDecoder):
    """Computes the whole target again at each step."""

    def make_cache(self, num_rows: int) -> Any:
        self.num_beams = num_rows // len(self.memory)
        return TokensSoFar(num_rows)

    def __call__(self, tokens: Tensor, *, cache: Any = None) -> Tensor:
        cache.tokens = torch.cat((cache.tokens, tokens), dim=1)
        sources = cache.sources[:: self.num_beams] // self.num_beams
        return self.model.decode(cache.tokens, self.memory[sources], self.mask[sources])


def translator_of(checkpoint: str, number_format: str, cached: bool) -> Translator:
    saved = load_model(checkpoint)
    translator = make_translator(saved, "cpu", number_format or "auto", num_rows=NUM_WORDS)
    if not cached:
        model = translator.model
        model.given = partial(UncachedTarget, model)  # type: ignore[method-assign]
    return translator


def test_words(checkpoint: str) -> list[str]:
    saved = load_model(checkpoint)
    keys = saved.config
    pairs = read_pairs(keys["data_path"], taken(PairSettings, keys))
    splits = pairs.split(keys["val_fraction"], keys["test_fraction"])
    words = list(pairs.answers(splits.test))
    return words[:: len(words) // NUM_WORDS][:NUM_WORDS]  # spread over the whole alphabet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    words = test_words(arguments.checkpoint)
    sides = {
        name: (translator_of(arguments.checkpoint, number_format, cached), beams)
        for name, (number_format, beams, cached) in SIDES.items()
    }
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(arguments.rounds + 1):  # the first round warms up
        for name, (translator, beams) in sides.items():
            started_at = time.perf_counter()
            translator.translate(words, num_beams=beams)
            if number:
                rates[name].append(len(words) / (time.perf_counter() - started_at))
    saved = load_model(arguments.checkpoint)
    figures = {
        "num_parameters": sum(p.numel() for p in saved.model.parameters()),
        "num_words": len(words),
        "batch_size": BATCH_SIZE,
        # With int8, products of many rows are in another format: generation/number_formats.py.
        "format": fastest_format("cpu", saved.architecture, NUM_WORDS).name,
        "words_per_second": {name: median(values) for name, values in rates.items()},
        "over_uncached": {
            name: median(a / b for a, b in zip(values, rates[f"{name} uncached"], strict=True))
            for name, values in rates.items()
            if f"{name} uncached" in rates
        },
        "rounds": rates,
    }
    print(json.dumps({k: v for k, v in figures.items() if k != "rounds"}, indent=2))
    print(save("translate_speed", figures))


if __name__ == "__main__":
    main()
