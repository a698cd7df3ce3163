"""The parts of models: attention, positions, blocks, embeddings, caches."""
