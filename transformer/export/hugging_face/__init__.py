"""Folders of Hugging Face's transformers: written, and loaded again."""
