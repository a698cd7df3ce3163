"""Looks at a corpus before training: one file for each kind of check."""
