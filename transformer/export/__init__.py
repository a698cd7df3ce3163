"""Writes models as other programs read them, and loads them again there to compare."""
