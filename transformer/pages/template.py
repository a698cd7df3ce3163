"""Reads the parts of a page. Imports no torch."""

from importlib import resources


def template(name: str) -> str:
    templates = resources.files("transformer.pages") / "templates"
    return (templates / name).read_text(encoding="utf-8")
