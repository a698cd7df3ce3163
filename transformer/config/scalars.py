"""Reads plain values in files and flags by YAML 1.2's core schema. No torch.

PyYAML alone reads YAML 1.1, where `010` is 8, `1:30` is 90, `yes` is true and `3e-4` is a text.
"""

import re
from typing import Any

import yaml

TAG = "tag:yaml.org,2002:"
# YAML 1.2.2, section 10.3.2 (https://yaml.org/spec/1.2.2/#1032-tag-resolution), in its order.
_CORE = {
    "null": r"null|Null|NULL|~",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+",
    "float": r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
}
_PATTERNS = {kind: re.compile(pattern) for kind, pattern in _CORE.items()}
_MOST_DIGITS = 4000  # Python's own limit is 4,300
_UNSET = ("none", "None", "NONE")  # people write them; YAML's null is in _CORE
TRUTHS = {word: word.lower() == "true" for word in _CORE["bool"].split("|")}


def kind_of(text: str) -> str:
    """`null`, `bool`, `int`, `float`, or `str` for any other text."""
    return next((kind for kind in _CORE if fits(text, kind)), "str")


def fits(text: str, kind: str) -> bool:
    """Whether a text can be a value of this kind; a whole number is a float, too."""
    return kind == "str" or bool(kind in _PATTERNS and _PATTERNS[kind].fullmatch(text))


def unsets(text: str) -> bool:
    """Whether this text in a file or a flag sets an optional key to None."""
    return text in _UNSET or fits(text, "null")


def number(text: str) -> int | float | None:
    """The number that a text stands for, or None if it is not a number."""
    if fits(text, "int"):
        base = 0 if text.startswith(("0o", "0x")) else 10  # 0: as the text itself says
        # int() refuses longer numbers, which are infinite for our purposes.
        return float(text) if base == 10 and len(text) > _MOST_DIGITS else int(text, base)
    # YAML writes .inf and .nan for Python's inf and nan.
    return float(re.sub(r"\.(?=[in])", "", text.lower())) if fits(text, "float") else None


def value(text: str, kind: str) -> Any:
    """The value of a scalar of this kind.

    Raises: ValueError for a kind that the core schema lacks, and for a text that does not fit.
    """
    if not fits(text, kind) and (kind, text) != ("null", ""):
        raise ValueError(f"{text!r} is not a YAML {kind}")
    if kind == "bool":
        return TRUTHS[text]
    if kind in ("int", "float"):
        found = number(text)
        return float(found) if kind == "float" and found is not None else found
    return text if kind == "str" else None


class CoreLoader(yaml.SafeLoader):
    """Resolves the kind of an unquoted scalar as YAML 1.2 does."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
        if kind is yaml.ScalarNode and implicit[0]:
            return TAG + (kind_of(value) if value else "null")
        return super().resolve(kind, value, implicit)


class Quoted(str):
    __slots__ = ()


class QuotingDumper(yaml.SafeDumper):
    """Quotes every text that YAML 1.1 or 1.2 would read as another type."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
        tag = super().resolve(kind, value, implicit)
        if kind is yaml.ScalarNode and implicit[0] and tag == f"{TAG}str":
            return TAG + kind_of(value)
        return tag


def _as_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """PyYAML folds lines at U+0085, U+2028 and U+2029, too: only escapes keep them as they are."""
    style = '"' if any(end in text for end in "\x85\u2028\u2029") else None
    return dumper.represent_scalar(f"{TAG}str", text, style=style)


QuotingDumper.add_representer(str, _as_text)
QuotingDumper.add_representer(
    Quoted, lambda dumper, text: dumper.represent_scalar(f"{TAG}str", str(text), style="'")
)
