"""YAML and flags become a checked Config. No torch."""
