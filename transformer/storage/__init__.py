"""Models, checkpoints and run folders on disk, written completely or not at all."""
