"""Reads YAML and flags into a checked `Config`. No torch."""

from transformer.config.keys import Config

__all__ = ["Config"]
