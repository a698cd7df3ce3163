"""The flags of generate.py, checked. Imports no torch."""

import secrets
from functools import partial
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from transformer.config.flags import ModelOptions, only_for
from transformer.config.groups import taken
from transformer.config.types import Boolean, DataPaths, FilePath, Integer, Number
from transformer.decoding.settings import TEMPERATURE, Sampling, Search

TextField = partial(Field, json_schema_extra=only_for("text"))
PairField = partial(Field, json_schema_extra=only_for("pairs"))
_INTERACTIVE_LEAVES_OUT = ("prompt", "prompt_file", "info", "verbose", "mark_copied")
# Authors repeat themselves: of the last tenth of Shakespeare's plays, 3.4 % is in passages of 20
# characters that the rest has, and 0.07 % in passages of 30.
MIN_COPIED = 30


def min_copied_field() -> Any:
    return TextField(
        MIN_COPIED,
        ge=1,
        description="characters of a copied passage, at least; few recur by chance",
    )


class SearchOptions(ModelOptions):
    num_beams: Integer = PairField(
        Search.num_beams, gt=0, description="hypotheses that beam search keeps; 1: greedy"
    )
    length_penalty: Number = PairField(
        Search.length_penalty,
        ge=0,
        description="beam search: the higher it is, the better the score of long targets",
    )

    @property
    def searching(self) -> Search:
        return taken(Search, dict(self))


class GenerateOptions(SearchOptions):
    prompt: str = Field(
        "", description="start of the text (empty: a newline); for a pairs model, the source"
    )
    prompt_file: FilePath | None = Field(None, description="UTF-8 file with the prompt")
    split_lines: Boolean = Field(False, description="use each line of the prompt file as a prompt")
    skip_bad_lines: Boolean = Field(
        False, description="skip and count lines that are blank or that the model cannot read"
    )
    max_new_tokens: Integer = TextField(300, gt=0, description="tokens to add")
    num_samples: Integer = Field(
        1, gt=0, description="texts for each prompt; for a pairs model, its best targets"
    )
    temperature: Number = TextField(
        TEMPERATURE, ge=0, description="higher: more random; 0: greedy, always the likeliest token"
    )
    top_k: Integer | None = TextField(None, gt=0, description="draw from the k likeliest tokens")
    top_p: Number | None = TextField(
        None,
        gt=0,
        le=1,
        description="draw from the smallest group of likeliest tokens with this total probability",
    )
    min_p: Number | None = TextField(
        None,
        ge=0,
        le=1,
        description="draw from tokens with at least this fraction of the largest probability",
    )
    repetition_penalty: Number = TextField(
        Sampling.repetition_penalty,
        ge=1e-3,
        le=1e3,
        description="above 1: tokens that the text already has become less likely",
    )
    heal_prompt: Boolean = TextField(
        False, description="bpe: let the model write the prompt's last token anew, maybe longer"
    )
    stop: tuple[str, ...] = TextField(
        (), description="end before this text; may be given several times"
    )
    seed: Integer | None = TextField(
        None, ge=0, description="same seed, same text; by default a new seed each time"
    )
    precision: Literal["auto", "float32", "bf16", "int8"] = Field(
        "auto", description="number format of the weights; auto: the fastest here"
    )
    cache_dir: FilePath | None = Field(
        None,
        min_length=1,
        description="folder that remembers what is fast here; by default the user's cache folder",
    )
    mark_copied: Boolean = TextField(
        False,
        description="mark what is in the training split, letter for letter, when the text is done",
    )
    min_copied: Integer = min_copied_field()
    data_path: DataPaths | None = TextField(
        None, description="with --mark_copied: where to look; default: the model's own data"
    )
    interactive: Boolean = Field(False, description="ask for prompts; /help lists the commands")
    info: Boolean = Field(
        False, description="show facts about the checkpoint, write no text; --json: all facts"
    )
    verbose: Boolean = Field(
        False, description="show the number format and tokens per second on stderr"
    )

    @property
    def sampling(self) -> Sampling:
        return taken(Sampling, dict(self))

    def drawn_seed(self) -> int:
        return secrets.randbelow(2**32) if self.seed is None else self.seed

    @field_validator("stop")
    @classmethod
    def _check_stop(cls, stop: tuple[str, ...]) -> tuple[str, ...]:
        if not all(stop):
            raise ValueError("a stop text must have at least one character")
        return stop

    @model_validator(mode="after")
    def _check_fields_together(self) -> "GenerateOptions":
        if self.prompt and self.prompt_file:
            raise ValueError("give --prompt or --prompt_file, not both")
        if self.split_lines and not self.prompt_file:
            raise ValueError("--split_lines needs a --prompt_file, whose lines are the prompts")
        if self.skip_bad_lines and not self.split_lines:
            raise ValueError("--skip_bad_lines needs --split_lines")
        for name, default in (("min_copied", MIN_COPIED), ("data_path", None)):
            if getattr(self, name) != default and not self.mark_copied:
                raise ValueError(f"--{name} needs --mark_copied")
        for name in _INTERACTIVE_LEAVES_OUT:
            if self.interactive and getattr(self, name):
                raise ValueError(f"--interactive asks for prompts itself: leave --{name} out")
        if self.interactive and self.num_samples > 1:
            raise ValueError("--interactive writes one text at a time: leave --num_samples out")
        return self
