"""Tokenizers turn a text into ids and back; each has a file of its own. Imports no torch."""
