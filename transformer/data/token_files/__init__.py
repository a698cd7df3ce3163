"""A corpus larger than memory: its ids in files, made once and read as memory maps."""
