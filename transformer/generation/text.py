"""Generates text that continues a prompt."""

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Unpack

import torch
from numpy.typing import NDArray

from transformer.data.tokenizers.base import Tokenizer
from transformer.data.tokenizers.utf8 import printable
from transformer.decoding.loop import Step, decode
from transformer.decoding.sampling import NotFiniteError, Sampler
from transformer.decoding.settings import SamplingArguments
from transformer.generation.continuation import Continuation
from transformer.generation.healing import HealingSampler
from transformer.generation.number_formats import prepare
from transformer.models.base import TokenModel, evaluating
from transformer.storage.model_file import SavedModel, load_model
from transformer.system.errors import UserError
from transformer.system.paths import expanded
from transformer.system.speed import Choice


def load(
    path: str | Path,
    device: str = "auto",
    precision: str = "auto",
    *,
    num_rows: int = 1,
    cache_dir: str | None = None,
) -> "TextGenerator":
    """Loads a model file (`model.safetensors` or a run's `.ckpt`), ready to `generate("ROMEO:")`.

    A folder with a model of another program is loaded too: docs/start_from.md says which.

    `precision` is the number format of the weights: float32, bf16, int8, or auto for the fastest.
    On a CPU, auto measures it once for about `num_rows` texts at a time, and keeps the answer in
    `cache_dir`, by default the user's cache folder.

    Raises: UserError if the file does not hold a text model of this program, if the device (cpu,
    cuda, mps) is not available, and for int8 on a device other than a CPU.
    """
    saved = load_model(expanded(path))
    return make_generator(saved, device, precision, num_rows=num_rows, cache_dir=cache_dir)


def make_generator(
    saved: SavedModel,
    device: str,
    precision: str,
    *,
    num_rows: int = 1,
    cache_dir: str | None = None,
) -> "TextGenerator":
    if not isinstance(saved.model, TokenModel):
        kind = saved.architecture["model"]
        raise UserError(f"{saved.path}: holds an {kind}: load it with transformer.load_translator")
    assert isinstance(saved.tokenizer, Tokenizer)
    chosen = prepare(saved.model, str(device), precision, num_rows=num_rows, cache_dir=cache_dir)
    return TextGenerator(saved.model, saved.tokenizer, saved, chosen)


class TextGenerator:
    """A model and its tokenizer; `saved` is the content of its file, if it was loaded from one.

    `precision` says the number format of a loaded model, and why.
    """

    def __init__(
        self,
        model: TokenModel,
        tokenizer: Tokenizer,
        saved: SavedModel | None = None,
        precision: Choice | None = None,
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.saved = saved
        self.precision = precision

    def generate(
        self,
        prompt: str = "",
        *,
        max_new_tokens: int = 200,
        num_samples: int = 1,
        stop: str | Sequence[str] = (),
        seed: int = 0,
        skip_unknown: bool = False,
        heal_prompt: bool = False,
        **sampling: Unpack[SamplingArguments],
    ) -> list[str]:
        """Continues the prompt num_samples times; an empty prompt becomes `empty_prompt`.

        Each text ends before the first of the `stop` texts, or where the model ends it. With
        `heal_prompt`, the prompt may end within a token: see `begin`. For the other settings see
        `Sampling`.

        Raises: UserError for unknown characters in the prompt (`skip_unknown` drops them), and if
        the logits are not finite; ValueError for settings out of range.
        """
        if num_samples < 1:
            raise ValueError(f"num_samples must be at least 1, got {num_samples}")
        sampler = Sampler(seed=seed, **sampling)
        if skip_unknown:
            prompt, _ = self.drop_unknown(prompt)
        rows = self.begin([prompt] * num_samples, stop, heal_prompt=heal_prompt)
        for _ in self.write(rows, max_new_tokens=max_new_tokens, sampler=sampler):
            pass
        return [row.prompt + row.text for row in rows]

    def begin(
        self,
        prompts: Sequence[str],
        stop: str | Sequence[str] = (),
        *,
        heal_prompt: bool = False,
    ) -> list[Continuation]:
        """Makes the rows that `write` continues; an empty prompt becomes `empty_prompt`.

        With `heal_prompt`, the model does not read the prompt's last token: it writes one or more
        that begin with the same bytes, because the prompt may end within a longer token.

        Raises: UserError for a prompt with unknown characters.
        """
        prompts = [prompt or self.empty_prompt for prompt in prompts]
        stop = (stop,) if isinstance(stop, str) else tuple(stop)
        rows = []
        for prompt in prompts:
            tokens, healed = self.encode(prompt).tolist(), b""
            if heal_prompt:
                tokens, healed = self.tokenizer.without_last(tokens)
            rows.append(Continuation(printable(prompt), tokens, stop, healed))
        return rows

    def encode(self, prompt: str) -> NDArray:
        return self.tokenizer.encode(prompt)

    def write(
        self,
        rows: Sequence[Continuation],
        *,
        max_new_tokens: int | None,
        sampler: Sampler,
        with_log_probabilities: bool = False,
    ) -> Generator[None, None, None]:
        """Adds one token to each row per step, until all rows are done or have max_new_tokens.

        Raises: UserError if the logits are not finite; ValueError if max_new_tokens is not a
        whole number from 0.
        """
        device = next(self.model.parameters()).device
        prompts = [torch.tensor(row.prompt_tokens, device=device) for row in rows]
        if any(row.healed for row in rows):
            sampler = HealingSampler(sampler, rows, self.tokenizer)
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
        scores = [None] * len(rows)
        if with_log_probabilities:  # by the model, before the sampler changes them
            log_probabilities = step.logits.log_softmax(dim=-1)
            scores = log_probabilities.gather(1, step.tokens[:, None]).squeeze(1).tolist()
        for row, token, score in zip(rows, step.tokens.tolist(), scores, strict=True):
            if token == self.tokenizer.end_of_text:
                row.end()
            else:
                row.add_bytes(token, self.tokenizer.bytes_of(token), score)

    @property
    def empty_prompt(self) -> str:
        """A line end; if it is unknown to the model, the text of the first token."""
        return self.tokenizer.pieces[0] if self.tokenizer.unknown("\n") else "\n"

    def drop_unknown(self, text: str) -> tuple[str, int]:
        """The text without unknown characters, and the number of unknown ones."""
        return self.tokenizer.drop_unknown(text)
