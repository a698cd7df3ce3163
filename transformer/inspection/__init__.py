"""Shows what a model has learned: explanations, figures, training curves, an HTML page."""
