"""Reads models of other programs: folders as `save_pretrained` of transformers writes them."""
