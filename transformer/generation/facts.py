"""Facts about a model file: all of them as a dict, or the main ones as lines."""

from typing import Any

from transformer.data.sources.settings import in_words
from transformer.storage.model_file import SavedModel

_SIZES = ("block_size", "embedding_dim", "num_heads", "num_kv_heads", "head_dim", "num_blocks")
_SIZES += ("feedforward_dim", "vocab_size", "source_vocab_size")
_PARTS = ("positions", "norm", "activation")
_TRAINING = ("batch_size", "lr", "optimizer", "seed")
_RESULTS = (
    "val_loss",
    "val_bits_per_char",
    "val_bits_per_byte",
    "val_word_error_rate",
    "val_unit_error_rate",
)
_RESULTS += ("best_step",)


def describe(saved: SavedModel) -> dict[str, Any]:
    tokenizer = saved.tokenizer
    return {
        "checkpoint": str(saved.path),
        "parameters": saved.model.num_parameters,
        "architecture": saved.architecture,
        "tokenizer": {"kind": tokenizer.state["kind"], "units": tokenizer.units, **tokenizer.sizes},
        "corpus": saved.corpus,
        "results": saved.results,
        "config": saved.config,
    }


def as_lines(facts: dict[str, Any]) -> str:
    """The main facts; the corpus, results and config of a file may be empty."""
    architecture, corpus, config = facts["architecture"], facts["corpus"], facts["config"]
    text = [in_words(config["data_path"])] if "data_path" in config else []
    if "num_tokens" in corpus:
        text.append(f"{corpus['num_tokens']:,} {facts['tokenizer']['units']}")
    if "sha256" in corpus:
        text.append(f"sha256 {corpus['sha256'][:12]}...")
    lines = {
        "checkpoint": facts["checkpoint"],
        "model": f"{architecture['model']}, {facts['parameters']:,} parameters",
        "sizes": _listed(_unusual(architecture), _SIZES),
        "parts": _listed(architecture, _PARTS),
        "results": _listed(facts["results"], _RESULTS),
        "trained on": ", ".join(text),
        "trained with": _listed(config, _TRAINING),
    }
    shown = [f"{name + ':':14}{line}" for name, line in lines.items() if line]
    return "\n".join([*shown, "(--json shows everything)"])


def _unusual(architecture: dict[str, Any]) -> dict[str, Any]:
    """Without the sizes of heads that follow from the others."""
    heads = architecture.get("num_heads")
    usual = {
        "num_kv_heads": heads,
        "head_dim": architecture.get("embedding_dim", 0) // (heads or 1),
    }
    return {key: v for key, v in architecture.items() if key not in usual or v != usual[key]}


def _listed(facts: dict[str, Any], names: tuple[str, ...]) -> str:
    return ", ".join(f"{name} {_readable(facts[name])}" for name in names if name in facts)


def _readable(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.5g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
