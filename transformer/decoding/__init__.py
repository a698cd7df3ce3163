"""Tensors in, tokens out: sampling, the cached loop, beam search. Drives any model."""
