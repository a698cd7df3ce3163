"""Text in, text out."""

from pathlib import Path

import torch

from transformer.checkpoint import SavedModel, load_model
from transformer.data.tokenizers import CharacterTokenizer
from transformer.devices import resolve_accelerator
from transformer.errors import UserError
from transformer.generation.decoding import decode
from transformer.generation.sampling import Sampler
from transformer.models.base import TokenModel


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
        """Prompt and continuation, num_samples times; an empty prompt starts from `empty_prompt`.

        Raises: UserError for a prompt with characters the model never saw (`skip_unknown` drops
        them) or a model whose logits are not finite; ValueError for settings out of range.
        """
        if num_samples < 1:
            raise ValueError(f"num_samples must be at least 1, got {num_samples}")
        if max_new_tokens < 0:
            raise ValueError(f"max_new_tokens must be at least 0, got {max_new_tokens}")
        prompt = self._known(prompt, skip_unknown) or self.empty_prompt
        ids = torch.from_numpy(self.tokenizer.encode(prompt)).long()
        device = next(self.model.parameters()).device
        tokens = ids.to(device).expand(num_samples, -1)  # (B, T)
        sampler = Sampler(temperature=temperature, top_k=top_k, top_p=top_p, seed=seed)
        was_training = self.model.training
        self.model.eval()
        try:
            steps = decode(self.model, tokens, max_new_tokens=max_new_tokens, choose=sampler)
            new = [step.cpu() for step in steps]
        except ValueError as error:  # the settings are checked: what is left is the logits
            raise UserError(str(error)) from None
        finally:
            self.model.train(was_training)
        rows = torch.stack(new, dim=1).tolist() if new else [[]] * num_samples
        return [prompt + self.tokenizer.decode(row) for row in rows]

    @property
    def empty_prompt(self) -> str:
        """A line end, or the first symbol where the vocabulary has none."""
        vocabulary = self.tokenizer.vocabulary
        return "\n" if "\n" in vocabulary else vocabulary[0]

    def _known(self, text: str, skip_unknown: bool) -> str:
        if not skip_unknown:
            return text
        return self.tokenizer.decode(self.tokenizer.encode_known(text)[0])
