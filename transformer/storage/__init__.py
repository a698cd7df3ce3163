"""What lies on the disk, written whole or not at all: models, checkpoints, run folders."""
