"""The parts of the pages that are written: their frames, styles and scripts."""
