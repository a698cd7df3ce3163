"""Which of two sentences a model prefers: `evaluate.py --minimal_pairs`."""
