"""The classes of other programs that are read, one file each. Imports no torch."""
