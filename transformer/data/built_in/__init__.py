"""Corpora that are made from installed packages."""
