"""The README.md of an exported folder: what the model is, its data, its losses, its commands."""

from pathlib import PurePath
from typing import Any

from transformer.config.files import to_yaml
from transformer.config.told_keys import last_name, told_keys
from transformer.data.prompts import prompt_of
from transformer.data.sources.settings import listed
from transformer.data.tokenizers.base import Tokenizer
from transformer.storage.saved_model import SavedModel
from transformer.system.shell import quoted

_LOSSES = {
    "val_loss": "validation loss (nats per token)",
    "val_bits_per_char": "validation, bits per character",
    "val_bits_per_byte": "validation, bits per byte",
    "train_loss": "training loss (nats per token)",
}
_FACTS = {
    "num_characters": "characters",
    "num_tokens": "tokens",
    "num_train_characters": "characters for training",
    "sha256": "sha256",
}


def model_card(saved: SavedModel, class_name: str, options: Any) -> str:
    tokenizer = saved.tokenizer
    assert isinstance(tokenizer, Tokenizer)
    name = PurePath(options.out).name
    number = saved.model.num_parameters
    sections = [
        "---\nlibrary_name: transformers\npipeline_tag: text-generation\n---",
        f"# {_plain(name)}",
        f"A `{class_name}` with {number:,} parameters, a context of {saved.model.block_size:,} "
        f"tokens and a vocabulary of {tokenizer.vocab_size:,} {tokenizer.units}.",
        _usage(name, prompt_of(saved.config, tokenizer)),
        *_data(saved),
        *_losses(saved),
        *_training(saved),
        "## Export\n\nWritten by this command, from this program's own model file:\n\n"
        f"```bash\npython export.py --to {options.to} --out {quoted(PurePath(name))}\n```",
    ]
    return "\n\n".join(sections) + "\n"


def _usage(name: str, prompt: str) -> str:
    return (
        "## Use\n\n```python\nfrom transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
        f"folder = {name!r}\n"
        "tokenizer = AutoTokenizer.from_pretrained(folder)\n"
        "model = AutoModelForCausalLM.from_pretrained(folder)\n"
        f"prompt = tokenizer({prompt!r}, return_tensors='pt')\n"
        "print(tokenizer.decode(model.generate(**prompt)[0]))\n```"
    )


def _data(saved: SavedModel) -> list[str]:
    rows = {label: saved.corpus[key] for key, label in _FACTS.items() if key in saved.corpus}
    if "data_path" in saved.config:
        names = map(last_name, listed(saved.config["data_path"]))
        rows = {"text": ", ".join(map(_plain, names)), **rows}
    return [f"## Data\n\n{_table(rows)}"] if rows else []


def _losses(saved: SavedModel) -> list[str]:
    found = {label: saved.results[key] for key, label in _LOSSES.items() if key in saved.results}
    rows = {label: f"{value:.4f}" for label, value in found.items() if isinstance(value, float)}
    return [f"## Losses\n\n{_table(rows)}"] if rows else []


def _training(saved: SavedModel) -> list[str]:
    """The keys that differ from their defaults: with them, the command trains it anew."""
    keys = told_keys(saved.config)
    if not keys:
        return []
    return [
        "## Training\n\nTrained by `python train.py --config model.yaml`, where `model.yaml` is as "
        f"follows. Paths are shortened to their last names.\n\n```yaml\n{to_yaml(keys)}```"
    ]


def _plain(text: str) -> str:
    """On one line, without what Markdown would read as its own."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split()).replace("|", "/")


def _table(rows: dict[str, Any]) -> str:
    shown = {label: f"{v:,}" if type(v) is int else str(v) for label, v in rows.items()}
    lines = [f"| {label} | {value} |" for label, value in shown.items()]
    return "\n".join(["| | |", "|---|---|", *lines])
