"""Models of texts as onnxruntime and Hugging Face's tokenizers compute them."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from transformer.data.tokenizers.hugging_face import library
from transformer.export.onnx.names import MODEL, TOKENIZER
from transformer.export.onnx.session import Session
from transformer.export.reloaded import Reloaded


class ReloadedGraph(Reloaded):
    def __init__(self, path: Path) -> None:
        """Of a file, or of a folder that holds it."""
        self.session = Session(path / MODEL if path.is_dir() else path)
        self.tokenizer = library(json.loads(self.session.metadata[TOKENIZER]))

    def logits(self, tokens: Int[Tensor, "1 T"]) -> Float[Tensor, "1 T V"]:
        found, _ = self.session.step({"tokens": tokens.numpy()}, self.session.empty_past(1))
        return torch.from_numpy(found)

    def continued(self, tokens: Sequence[int], num_new: int) -> list[int]:
        """Reads one token after the other, with the keys and values of the earlier ones."""
        past, new, found = self.session.empty_past(1), list(tokens), []
        for _ in range(num_new):
            logits, past = self.session.step({"tokens": np.array([new], np.int64)}, past)
            new = [int(logits[0, -1].argmax())]
            found += new
        return found

    def encode(self, text: str) -> list[int]:
        return self.tokenizer.encode(text).ids

    def decode(self, ids: Sequence[int]) -> str:
        return self.tokenizer.decode(list(ids))
