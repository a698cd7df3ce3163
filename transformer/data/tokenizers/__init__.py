"""Texts become ids and ids texts: a protocol, a registry, one file a tokenizer. No torch."""
