"""A folder as transformers loads it. Runs no code of the folder, and asks no network."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from transformer.export.reloaded import Reloaded


class ReloadedFolder(Reloaded):
    def __init__(self, folder: Path) -> None:
        import transformers

        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        auto_model, auto_tokenizer = transformers.AutoModelForCausalLM, transformers.AutoTokenizer
        self.model: Any = auto_model.from_pretrained(folder, local_files_only=True).eval()
        self.tokenizer = auto_tokenizer.from_pretrained(folder, local_files_only=True)

    @torch.inference_mode()
    def logits(self, tokens: Int[Tensor, "1 T"]) -> Float[Tensor, "1 T V"]:
        return self.model(tokens).logits

    def continued(self, tokens: Sequence[int], num_new: int) -> list[int]:
        """Without an end: the model may name one, and this program's `generate` does not stop."""
        vocab_size = self.model.config.vocab_size
        given = {"eos_token_id": vocab_size, "pad_token_id": 0, "do_sample": False}
        given |= {"temperature": 1.0, "max_new_tokens": num_new}
        rows = torch.tensor([list(tokens)])
        found = self.model.generate(rows, attention_mask=torch.ones_like(rows), **given)
        return found[0, len(tokens) :].tolist()

    def encode(self, text: str) -> list[int]:
        return self.tokenizer(text)["input_ids"]

    def decode(self, ids: Sequence[int]) -> str:
        return self.tokenizer.decode(list(ids))
