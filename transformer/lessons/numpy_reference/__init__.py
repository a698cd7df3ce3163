"""Transformers in plain NumPy and float64, written to be read; torch and `models/` are not used.

- `functions`: the formulas
- `layers`: the parts, each with a backward pass written by hand
- `encoder`: the encoder of "Attention is all you need" (arXiv:1706.03762)
- `adam`: its optimizer
- `gpt`: runs a trained model: `load_gpt("model.safetensors").forward(tokens)`

Arguments have the names that most implementations of the paper use: d_model, num_heads, d_ff,
num_layers. A mask is True where a position may be read.
"""

from transformer.lessons.numpy_reference.adam import Adam as Adam
from transformer.lessons.numpy_reference.encoder import EncoderLayer as EncoderLayer
from transformer.lessons.numpy_reference.encoder import Transformer as Transformer
from transformer.lessons.numpy_reference.functions import attention_weights as attention_weights
from transformer.lessons.numpy_reference.functions import cross_entropy as cross_entropy
from transformer.lessons.numpy_reference.functions import layer_norm as layer_norm
from transformer.lessons.numpy_reference.functions import positional_encoding as positional_encoding
from transformer.lessons.numpy_reference.functions import (
    scaled_dot_product_attention as scaled_dot_product_attention,
)
from transformer.lessons.numpy_reference.functions import softmax as softmax
from transformer.lessons.numpy_reference.gpt import load_gpt as load_gpt
from transformer.lessons.numpy_reference.layers import Dropout as Dropout
from transformer.lessons.numpy_reference.layers import Embedding as Embedding
from transformer.lessons.numpy_reference.layers import FeedForward as FeedForward
from transformer.lessons.numpy_reference.layers import LayerNorm as LayerNorm
from transformer.lessons.numpy_reference.layers import Linear as Linear
from transformer.lessons.numpy_reference.layers import MultiHeadAttention as MultiHeadAttention
