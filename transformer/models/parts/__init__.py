"""What models are put together from: attention, positions, blocks, embeddings, caches."""
