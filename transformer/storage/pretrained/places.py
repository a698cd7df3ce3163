"""The files of a pretrained model's folder, by name. Imports no torch."""

from os.path import isdir, isfile
from pathlib import Path

CONFIG = "config.json"
WEIGHTS, PICKLED = "model.safetensors", "pytorch_model.bin"
INDEX = ".index.json"
TOKENIZER = "tokenizer.json"
VOCABULARY, MERGES = "vocab.json", "merges.txt"
TOKENIZER_CONFIG = "tokenizer_config.json"
GENERATION_CONFIG = "generation_config.json"
CARD = "README.md"
_OWN_CONFIG = "config.yaml"  # of a run of this program
# The first that a folder has, as transformers takes them.
_WEIGHTS = (WEIGHTS, WEIGHTS + INDEX, PICKLED, PICKLED + INDEX)
# A folder with one of them is meant to be a pretrained model, if no config.json is there either.
_SIGNS = (CONFIG, *_WEIGHTS[1:], TOKENIZER, VOCABULARY)


def is_pretrained(path: str | Path) -> bool:
    """Whether a path is a folder with a model of another program."""
    folder = Path(path)
    if not isdir(folder) or isfile(folder / _OWN_CONFIG):
        return False
    return any(isfile(folder / name) for name in _SIGNS)


def weights_of(folder: Path) -> Path | None:
    return next((folder / name for name in _WEIGHTS if isfile(folder / name)), None)
