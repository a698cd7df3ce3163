"""The settings of each model family as a dataclass. Imports no torch."""
