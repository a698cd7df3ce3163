"""Pages that run a model, and the comparison with what Node computes from them."""
