"""Optimizers, learning-rate schedules, and the guard against bad steps."""
