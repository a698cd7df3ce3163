"""The formats, one file each. Imports no torch."""
