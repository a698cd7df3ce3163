"""Chooses tokens with any model that has a cache: sampling, the decoding loop, beam search."""
