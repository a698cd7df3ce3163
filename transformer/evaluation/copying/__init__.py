"""How much of a text stands verbatim in a corpus."""
