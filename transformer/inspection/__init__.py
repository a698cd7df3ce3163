"""What a model learned, to be looked at: explanations, figures, curves, the page."""
