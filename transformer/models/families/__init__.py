"""The model families: the settings of each model as a dataclass. No torch."""
