"""Transformers in plain NumPy and float64, written to be read; torch and `models/` are not used.

- `functions`: the formulas
- `layers`: the parts, each with a backward pass written by hand
- `encoder`: the encoder of "Attention is all you need" (arXiv:1706.03762)
- `adam`: its optimizer
- `gpt`: runs a trained model: `load_gpt("model.safetensors").forward(tokens)`

Arguments have the names that most implementations of the paper use: d_model, num_heads, d_ff,
num_layers. A mask is True where a position may be read.
"""

from transformer.lessons.numpy_reference.adam import Adam
from transformer.lessons.numpy_reference.encoder import EncoderLayer, Transformer
from transformer.lessons.numpy_reference.functions import (
    attention_weights,
    cross_entropy,
    layer_norm,
    positional_encoding,
    scaled_dot_product_attention,
    softmax,
)
from transformer.lessons.numpy_reference.gpt import load_gpt
from transformer.lessons.numpy_reference.layers import (
    Dropout,
    Embedding,
    FeedForward,
    LayerNorm,
    Linear,
    MultiHeadAttention,
)

__all__ = [
    "Adam",
    "Dropout",
    "Embedding",
    "EncoderLayer",
    "FeedForward",
    "LayerNorm",
    "Linear",
    "MultiHeadAttention",
    "Transformer",
    "attention_weights",
    "cross_entropy",
    "layer_norm",
    "load_gpt",
    "positional_encoding",
    "scaled_dot_product_attention",
    "softmax",
]
