"""The flags of generate.py, checked. Imports no torch."""

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from transformer.config.flags import ModelOptions
from transformer.config.types import Boolean, FilePath, Integer, Number
from transformer.special_ids import LENGTH_PENALTY
from transformer.system.errors import UserError

# The arguments of `Sampler` but for the seed.
SAMPLING = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")
# The arguments of `Translator.search` that are flags, and only a model of pairs goes by.
SEARCHING = ("num_beams", "length_penalty")
# What only a model of texts goes by.
_TEXT_ONLY = ("max_new_tokens", *SAMPLING, "stop", "seed")
_INTERACTIVE_LEAVES_OUT = ("prompt", "prompt_file", "info", "verbose")


class SearchOptions(ModelOptions):
    """How an encoder-decoder's targets are searched for."""

    num_beams: Integer = Field(
        1, gt=0, description="hypotheses that an encoder-decoder's search keeps; 1 is greedy"
    )
    length_penalty: Number = Field(
        LENGTH_PENALTY,
        ge=0,
        description="above 0, that search prefers longer targets than their probability",
    )

    @property
    def searching(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in SEARCHING}


class GenerateOptions(SearchOptions):
    """What to write, how to draw it, and how to show it."""

    prompt: str = Field(
        "", description="start of the text, empty starts from a newline; of pairs, the source"
    )
    prompt_file: FilePath | None = Field(None, description="UTF-8 file that holds the prompt")
    split_lines: Boolean = Field(False, description="each line of the prompt file is a prompt")
    skip_bad_lines: Boolean = Field(
        False,
        description="leave out lines that are blank or that the model cannot read, and count them",
    )
    max_new_tokens: Integer = Field(300, gt=0, description="tokens to add")
    num_samples: Integer = Field(
        1, gt=0, description="texts of each prompt; of an encoder-decoder, the best so many"
    )
    temperature: Number = Field(0.8, ge=0, description="above 1 wilder, below tamer, 0 greedy")
    top_k: Integer | None = Field(None, gt=0, description="draw among the k likeliest")
    top_p: Number | None = Field(
        None, gt=0, le=1, description="draw among the likeliest that hold this probability"
    )
    min_p: Number | None = Field(
        None, ge=0, le=1, description="draw among those this share as likely as the likeliest"
    )
    repetition_penalty: Number = Field(
        1.0, ge=1e-3, le=1e3, description="above 1: what a text holds already becomes less likely"
    )
    stop: tuple[str, ...] = Field(
        (), description="text before which to end; may be given several times"
    )
    seed: Integer | None = Field(
        None, ge=0, description="same seed, same text; by default another each time"
    )
    precision: Literal["auto", "float32", "bf16", "int8"] = Field(
        "auto", description="number format of the weights; auto: what writes fastest"
    )
    interactive: Boolean = Field(False, description="ask for prompts; /help lists the commands")
    info: Boolean = Field(
        False, description="say what the checkpoint is, and write no text; with --json all of it"
    )
    verbose: Boolean = Field(False, description="say tokens a second, on stderr")

    @property
    def sampling(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in SAMPLING}

    def check_for(self, model: str) -> None:
        """Raises: UserError for flags that say nothing to this kind of model."""
        pairs = model == "encoder_decoder"
        for name in _TEXT_ONLY if pairs else SEARCHING:
            if name in self.model_fields_set:
                raise UserError(f"--{name} does not apply to a model of kind {model}: leave it out")
        if pairs and self.num_samples > self.num_beams:
            raise UserError(
                f"--num_samples={self.num_samples} needs as many --num_beams, got {self.num_beams}"
            )

    @field_validator("stop")
    @classmethod
    def _check_stop(cls, stop: tuple[str, ...]) -> tuple[str, ...]:
        if not all(stop):
            raise ValueError("a stop text must hold one character at least")
        return stop

    @model_validator(mode="after")
    def _check_fields_together(self) -> "GenerateOptions":
        if self.prompt and self.prompt_file:
            raise ValueError("--prompt and --prompt_file: give one of them")
        if self.split_lines and not self.prompt_file:
            raise ValueError("--split_lines needs a --prompt_file, whose lines are the prompts")
        if self.skip_bad_lines and not self.split_lines:
            raise ValueError("--skip_bad_lines goes with --split_lines: give both or none")
        for name in _INTERACTIVE_LEAVES_OUT:
            if self.interactive and getattr(self, name):
                raise ValueError(f"--interactive asks for prompts itself: leave --{name} out")
        if self.interactive and self.num_samples > 1:
            raise ValueError("--interactive writes one text at a time: leave --num_samples out")
        return self
