"""The keys whose values train.py may plan: see `transformer.run.planning`. No torch."""

from typing import Any

PLANNED_KEYS = (
    *("embedding_dim", "num_heads", "num_blocks", "block_size", "batch_size", "lr", "dropout"),
    *("weight_decay", "max_steps", "r_drop", "tokenizer"),
)


def allow_auto(schema: dict[str, Any]) -> None:
    """In the JSON schema of a file. A `Config` holds the numbers that were planned."""
    for key in PLANNED_KEYS:
        about = schema["properties"][key]
        kept = {"title", "description", "default"} & about.keys()
        values = {name: about.pop(name) for name in about.keys() - kept}
        about["anyOf"] = [*values.pop("anyOf", [values]), {"const": "auto", "type": "string"}]
