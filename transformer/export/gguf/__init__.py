"""GGUF files of llama.cpp: written, and loaded again."""
