"""Errors, files, devices, processes, terminal: every other folder may import these."""
