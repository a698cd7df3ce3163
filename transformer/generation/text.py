"""Text in, text out."""

from pathlib import Path

import torch

from transformer.checkpoint import SavedModel, load_model
from transformer.data.tokenizers import CharacterTokenizer
from transformer.devices import resolve_accelerator
from transformer.generation.decoding import decode
from transformer.generation.sampling import Sampler
from transformer.models.base import TokenModel

EMPTY_PROMPT = "\n"  # what an empty prompt starts from


def load(path: str | Path, device: str = "auto") -> "TextGenerator":
    """A model file (`model.safetensors`, or a run's `.ckpt`), ready to `generate("ROMEO:")`.

    Raises: UserError for a file that does not hold a model of this program, and for a device (cpu,
    cuda, mps) that is not there.
    """
    saved = load_model(path)
    return TextGenerator(saved.model.to(resolve_accelerator(device)), saved.tokenizer, saved)


class TextGenerator:
    """A model and its tokenizer. `saved` is what the file said, where one was loaded."""

    def __init__(
        self, model: TokenModel, tokenizer: CharacterTokenizer, saved: SavedModel | None = None
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.saved = saved

    def generate(
        self,
        prompt: str = "",
        *,
        max_new_tokens: int = 200,
        num_samples: int = 1,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int = 0,
        skip_unknown: bool = False,
    ) -> list[str]:
        """Prompt and continuation, num_samples times; an empty prompt starts from a newline.

        Raises: UserError for a prompt with characters the model never saw (`skip_unknown` drops
        them) or a model whose logits are not finite; ValueError for settings out of range.
        """
        prompt = self._known(prompt, skip_unknown) or EMPTY_PROMPT
        ids = torch.from_numpy(self.tokenizer.encode(prompt)).long()
        device = next(self.model.parameters()).device
        tokens = ids.to(device).expand(num_samples, -1)  # (B, T)
        sampler = Sampler(temperature=temperature, top_k=top_k, top_p=top_p, seed=seed)
        was_training = self.model.training
        self.model.eval()
        try:
            steps = decode(self.model, tokens, max_new_tokens=max_new_tokens, choose=sampler)
            new = [step.cpu() for step in steps]
        finally:
            self.model.train(was_training)
        rows = torch.stack(new, dim=1).tolist() if new else [[]] * num_samples
        return [prompt + self.tokenizer.decode(row) for row in rows]

    def _known(self, text: str, skip_unknown: bool) -> str:
        if not skip_unknown:
            return text
        return self.tokenizer.decode(self.tokenizer.encode_known(text)[0])
