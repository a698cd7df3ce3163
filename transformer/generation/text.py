"""Text in, text out."""

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Unpack

import torch
from numpy.typing import NDArray

from transformer.data.tokenizers.base import Tokenizer
from transformer.decoding.loop import Step, decode
from transformer.decoding.sampling import NotFiniteError, Sampler
from transformer.decoding.settings import SamplingArguments
from transformer.generation.continuation import Continuation
from transformer.generation.number_formats import prepare
from transformer.models.base import TokenModel, evaluating
from transformer.storage.model_file import SavedModel, load_model
from transformer.system.errors import UserError
from transformer.system.paths import expanded


def load(path: str | Path, device: str = "auto", precision: str = "auto") -> "TextGenerator":
    """A model file (`model.safetensors`, or a run's `.ckpt`), ready to `generate("ROMEO:")`.

    `precision` is that of the weights: float32, bf16, int8, or by default what writes fastest.

    Raises: UserError for a file that does not hold a model of this program, for a device (cpu,
    cuda, mps) that is not there, and for int8 elsewhere than on a CPU.
    """
    return make_generator(load_model(expanded(path)), device, precision)


def make_generator(saved: SavedModel, device: str, precision: str) -> "TextGenerator":
    """Raises: UserError as `load`."""
    if not isinstance(saved.model, TokenModel):
        kind = saved.architecture["model"]
        raise UserError(f"{saved.path}: holds an {kind}: load it with transformer.load_translator")
    assert isinstance(saved.tokenizer, Tokenizer)
    prepare(saved.model, str(device), precision)
    return TextGenerator(saved.model, saved.tokenizer, saved)


class TextGenerator:
    """A model and its tokenizer. `saved` is what the file said, where one was loaded."""

    def __init__(
        self, model: TokenModel, tokenizer: Tokenizer, saved: SavedModel | None = None
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
        stop: str | Sequence[str] = (),
        seed: int = 0,
        skip_unknown: bool = False,
        **sampling: Unpack[SamplingArguments],
    ) -> list[str]:
        """Prompt and continuation, num_samples times; an empty prompt starts from `empty_prompt`.

        Each text ends before the first of the `stop` texts. The other settings: see `Sampling`.

        Raises: UserError for a prompt with characters the model never saw (`skip_unknown` drops
        them) or a model whose logits are not finite; ValueError for settings out of range.
        """
        if num_samples < 1:
            raise ValueError(f"num_samples must be at least 1, got {num_samples}")
        sampler = Sampler(seed=seed, **sampling)
        if skip_unknown:
            prompt, _ = self.drop_unknown(prompt)
        rows = self.begin([prompt] * num_samples, stop)
        for _ in self.write(rows, max_new_tokens=max_new_tokens, sampler=sampler):
            pass
        return [row.prompt + row.text for row in rows]

    def begin(self, prompts: Sequence[str], stop: str | Sequence[str] = ()) -> list[Continuation]:
        """What `write` goes on with; an empty prompt starts from `empty_prompt`.

        Raises: UserError for a prompt with characters the model never saw.
        """
        prompts = [prompt or self.empty_prompt for prompt in prompts]
        stop = (stop,) if isinstance(stop, str) else tuple(stop)
        return [Continuation(prompt, self.encode(prompt).tolist(), stop) for prompt in prompts]

    def encode(self, prompt: str) -> NDArray:
        """Raises: UserError for a prompt with characters the model never saw."""
        return self.tokenizer.encode(prompt)

    def write(
        self,
        rows: Sequence[Continuation],
        *,
        max_new_tokens: int | None,
        sampler: Sampler,
        with_log_probabilities: bool = False,
    ) -> Generator[None, None, None]:
        """Adds a token to each row at every step, until all are done or max_new_tokens are made.

        Raises: UserError for a model whose logits are not finite; ValueError where
        max_new_tokens is no count.
        """
        device = next(self.model.parameters()).device
        prompts = [torch.tensor(row.prompt_tokens, device=device) for row in rows]
        try:
            with evaluating(self.model):
                steps = decode(self.model, prompts, max_new_tokens=max_new_tokens, sampler=sampler)
                for step in steps:
                    self._add(rows, step, with_log_probabilities)
                    yield
                    if all(row.done for row in rows):
                        break
        except NotFiniteError as error:
            name = f"{self.saved.path}: " if self.saved else ""
            raise UserError(f"{name}{error}") from None

    def _add(self, rows: Sequence[Continuation], step: Step, with_log_probabilities: bool) -> None:
        scores = _log_probabilities(step) if with_log_probabilities else [None] * len(rows)
        for row, token, score in zip(rows, step.tokens.tolist(), scores, strict=True):
            row.add(token, self.tokenizer.pieces[int(token)], score)

    @property
    def empty_prompt(self) -> str:
        """A line end, or the first token's text where the model knows none."""
        return self.tokenizer.pieces[0] if self.tokenizer.unknown("\n") else "\n"

    def drop_unknown(self, text: str) -> tuple[str, int]:
        """Without the characters that the model never saw, and how many these were."""
        known, num_dropped = self.tokenizer.encode_known(text)
        return self.tokenizer.decode(known), num_dropped


def _log_probabilities(step: Step) -> list[float]:
    """Of the chosen tokens as the model itself has them, whatever the sampler makes of that."""
    return step.logits.log_softmax(dim=-1).gather(1, step.tokens[:, None]).squeeze(1).tolist()
