"""A page that holds a model and runs it."""
