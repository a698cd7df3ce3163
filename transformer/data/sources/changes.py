"""Which files of a corpus have changed since a model was trained on them. Imports no torch."""

from collections.abc import Mapping
from typing import Any

_NAMED = 3


def describe_changed_files(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Compares the facts of two corpora; older ones and large ones have no digests of files."""
    was, are = before.get("files"), now.get("files")
    if not isinstance(was, dict) or not isinstance(are, dict):
        return f"it had sha256 {str(before.get('sha256'))[:12]}, now {str(now.get('sha256'))[:12]}"
    kinds = {
        "changed": [name for name in was if name in are and was[name] != are[name]],
        "missing": [name for name in was if name not in are],
        "new": [name for name in are if name not in was],
    }
    parts = [f"{kind}: {_named(names)}" for kind, names in kinds.items() if names]
    return "; ".join(parts) or "the same files are in another order, or are read in another way"


def _named(names: list[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more:,} more" if more > 0 else "")
