"""How fast models write, in characters a second: with pieces, and with characters.

python benchmarks/tokenizer_generation.py --data_path data/shakespeare.txt

Makes GPTs with random weights, of the shape that default.yaml had before and of a larger one, which
differ in the tokenizer alone, and samples from each in turn. A token counts as many characters as
it has in the validation split. Of a small model's step, the head and the draw from 2,048 symbols
are a larger part, so its ratio is further below the characters of a token.
"""

import argparse
from functools import partial
from statistics import median

import torch
from generate_speed import Generate, tokens_per_second
from record import save

from transformer.data.text.corpus import Corpus
from transformer.data.tokenizer_choice import TokenizerChoice
from transformer.generation import number_formats
from transformer.models.gpt import GPT

SHAPES = {
    "default.yaml": {"num_blocks": 2, "num_heads": 6, "embedding_dim": 192, "block_size": 128},
    "10.7 M": {"num_blocks": 6, "num_heads": 6, "embedding_dim": 384, "block_size": 256},
}
CHOICES = {
    "characters": TokenizerChoice(),
    "pieces": TokenizerChoice(tokenizer="bpe", vocab_size=2048),
}
NUM_SAMPLES = (1, 16)
NEW_TOKENS = 120
ROUNDS = 7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data_path", required=True)
    arguments = parser.parse_args()
    corpora = {
        name: Corpus.from_file(arguments.data_path, choice=choice, build=True)
        for name, choice in CHOICES.items()
    }
    figures = {
        f"{shape}, samples: {number}": measure(corpora, SHAPES[shape], number)
        for shape in SHAPES
        for number in NUM_SAMPLES
    }
    for case, found in figures.items():
        print(f"{case}:", ", ".join(f"{name} {each:,.4g}" for name, each in found.items()))
    save("tokenizer_generation", figures)


def measure(
    corpora: dict[str, Corpus], shape: dict[str, int], num_samples: int
) -> dict[str, float]:
    sides: dict[str, Generate] = {}
    rates: dict[str, list[float]] = {name: [] for name in corpora}
    for name, corpus in corpora.items():
        torch.manual_seed(0)
        model = GPT(vocab_size=corpus.tokenizer.vocab_size, **shape).eval()
        number_formats.prepare(model, "cpu", "auto", num_rows=num_samples)
        sides[name] = partial(_generate, model)
        tokens_per_second(sides[name], num_samples, 8)  # warms up
    for _ in range(ROUNDS):
        for name, generate in sides.items():
            rates[name].append(tokens_per_second(generate, num_samples, NEW_TOKENS))
    figures = {}
    for name, corpus in corpora.items():
        size = corpus.tokenizer.size(corpus.val)
        assert size.num_characters is not None  # the text is UTF-8
        figures[f"characters_per_token, {name}"] = size.num_characters / len(corpus.val)
        figures[f"tokens_per_second, {name}"] = median(rates[name])
        per_token = figures[f"characters_per_token, {name}"]
        figures[f"characters_per_second, {name}"] = per_token * median(rates[name])
    sizes = [figures[f"characters_per_token, {name}"] for name in ("pieces", "characters")]
    turns = zip(rates["pieces"], rates["characters"], strict=True)  # side by side
    figures["pieces / characters"] = sizes[0] / sizes[1] * median(p / c for p, c in turns)
    return figures


def _generate(model: GPT, tokens: torch.Tensor, count: int) -> torch.Tensor:
    return model.generate(tokens, max_new_tokens=count)


if __name__ == "__main__":
    main()
