"""The program that runs a model within a page: JavaScript without dependencies. Imports no torch.

Its parts are one script: they share one scope, and each uses only parts before it when it is read.
"""

from transformer.pages.template import code

ENGINE_PARTS = (
    "container.js",
    "tokenizers.js",
    "architecture.js",
    "functions.js",
    "products.js",
    "simd.js",
    "matrices.js",
    "embeddings.js",
    "attention.js",
    "gpt.js",
    "sampling.js",
    "writing.js",
    "patterns.js",
    "explanation.js",
    "encoder_decoder.js",
    "beam_search.js",
    "translation.js",
    "engine.js",
)
WORKER_PARTS = ("worker.js",)  # last: begins to answer messages, if it runs in a worker


def engine_script() -> str:
    """The parts one after the other. In a worker, it then waits for messages."""
    return "\n".join(code(f"engine/{name}") for name in (*ENGINE_PARTS, *WORKER_PARTS))
