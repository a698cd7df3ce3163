"""Exact scores, baselines, error rates."""
