"""A page that shows what a model sees in a text: `python explain.py --prompt "ROMEO:"`.

The page needs no network; with `--out attention.png` it is a picture of every head instead.
"""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pydantic import Field, field_validator, model_validator

from transformer.config.flags import (
    FlagParser,
    ModelOptions,
    add_checkpoint,
    add_flags,
    check_flags,
    given_flags,
)
from transformer.config.types import FilePath, Integer
from transformer.storage.run_folder import find_model
from transformer.system.errors import UserError
from transformer.system.files import read_text, replacing, write_text
from transformer.system.signals import ended_at_once
from transformer.system.terminal import run_script, say, say_loading, with_flags_in_errors

if TYPE_CHECKING:  # torch is imported once the input is known to be good
    from transformer.generation.text import TextGenerator
    from transformer.generation.translation import Translator
    from transformer.inspection.explanation import Explanation
    from transformer.storage.model_file import SavedModel

ENDINGS = (".html", ".png")
TEMPERATURE = 0.8  # of what is written: generate.py's default
MOST_LABELS = 180  # a side of a picture of 20 inches, all maps together
DOTS_PER_INCH = 150
STEPS = [digit * 10**zeros for zeros in range(7) for digit in (1, 2, 5)]  # between numbers
SHOWN_AS = {"\n": "↵", "\t": "⇥", " ": "␣"}


class ExplainOptions(ModelOptions):
    """The flags of explain.py."""

    prompt: str = Field(
        "", description="text to explain, of a long one its last block_size; of pairs, the source"
    )
    prompt_file: FilePath | None = Field(None, description="UTF-8 file that holds it")
    out: FilePath = Field(
        "explain.html", description=".html: a page; .png: the attention of each block and head"
    )
    max_new_tokens: Integer = Field(
        0,
        ge=0,
        description="tokens that the model first adds to the prompt, to be explained too; "
        "0 explains the prompt alone",
    )
    seed: Integer = Field(0, ge=0, description="draws these tokens: same seed, same text")

    @field_validator("out")
    @classmethod
    def _check_ending(cls, out: str) -> str:
        if Path(out).suffix.lower() not in ENDINGS:
            raise ValueError(f"--out must end in {' or '.join(ENDINGS)}, got {out!r}")
        return out

    @model_validator(mode="after")
    def _check_prompt(self) -> "ExplainOptions":
        if self.prompt and self.prompt_file:
            raise ValueError("--prompt and --prompt_file: give one of them")
        if not (self.prompt or self.prompt_file or self.max_new_tokens):
            raise ValueError("there is nothing to explain: give a --prompt or a --prompt_file")
        return self


class Explained(NamedTuple):
    """An explanation, how many units at its end the model wrote itself, and what is not shown."""

    explanation: "Explanation"
    num_written: int = 0
    cut: str = ""


def explain_with_text_model(saved: "SavedModel", prompt: str, options: ExplainOptions) -> Explained:
    """The prompt, and what the model makes of it where that was asked for."""
    from transformer.generation.text import make_generator
    from transformer.inspection.explanation import explain_text

    generator = make_generator(saved, options.device, "float32")
    prompt = known(generator, prompt, options)
    text = prompt
    if options.max_new_tokens:
        settings = {"temperature": TEMPERATURE, "seed": options.seed}
        (text,) = generator.generate(prompt, max_new_tokens=options.max_new_tokens, **settings)
    generator.tokenizer.encode(text)  # says which character is unknown, also of those cut off
    if len(text) < 2:
        raise UserError(
            "nothing is predicted in a prompt of fewer than two characters: give a longer one, or "
            "--max_new_tokens 100 to let the model go on"
        )
    most = generator.model.block_size
    if cut := cut_off(len(prompt), len(text), most):
        say(cut)
    explanation = explain_text(generator.model, generator.tokenizer, text)
    num_written = min(len(text) - len(prompt), len(explanation.units))
    return Explained(explanation, num_written, cut)


def cut_off(num_prompt: int, num_all: int, most: int) -> str:
    """Says that not all characters are shown, and what becomes of the prompt where more follows."""
    if num_all <= most:
        return ""
    told = f"{num_all:,} characters, and the model reads {most:,}: the last {most:,} are shown"
    if num_all == num_prompt:
        return told
    left = max(0, num_prompt - (num_all - most))
    shown = f"the last {left:,} of the prompt's {num_prompt:,}" if left else "nothing of the prompt"
    told = f"{told}, with {shown}" if left else f"{told}, and {shown}"
    room = most - num_prompt
    return f"{told}; --max_new_tokens {room} or fewer shows all of it" if room > 0 else told


def explain_with_pair_model(saved: "SavedModel", prompt: str, options: ExplainOptions) -> Explained:
    """The source and its greedy target."""
    from transformer.generation.translation import make_translator
    from transformer.inspection.explanation import explain_translation

    for name in ("max_new_tokens", "seed"):
        if name in options.model_fields_set:
            raise UserError(f"--{name} does not apply to a model of pairs: leave it out")
    translator = make_translator(saved, options.device, "float32")
    source = known(translator, prompt.rstrip("\n"), options)  # a file's line end is no part of it
    return Explained(explain_translation(translator, source))


def known(model: "TextGenerator | Translator", prompt: str, options: ExplainOptions) -> str:
    """Without what the model never saw, where that is to be dropped; says how much that was."""
    if not options.skip_unknown:
        return prompt
    prompt, num_dropped = model.drop_unknown(prompt)
    if num_dropped:
        say(f"{num_dropped:,} unknown {model.tokenizer.units} of the prompt dropped")
    return prompt


def write_picture(path: str, explanation: "Explanation") -> None:
    """Raises: UserError for a model without attention."""
    import torch
    from matplotlib.image import imsave

    from transformer.inspection.attention_figures import as_image, attention_figure

    if not len(explanation.attention):
        raise UserError("this model has no attention to draw: give an --out that ends in .html")
    most = MOST_LABELS // max(explanation.attention.shape[:2])
    labels = [tick_labels(units, most) for units in (explanation.rows, explanation.columns)]
    figure = attention_figure(torch.from_numpy(explanation.attention), *labels)
    figure.set_dpi(DOTS_PER_INCH)
    with replacing(path) as temporary:
        imsave(temporary, as_image(figure), format="png")


def tick_labels(units: list[str], most: int) -> list[str]:
    """The units with white space made visible; of too many, the numbers of some positions."""
    if len(units) <= most:
        return [SHOWN_AS.get(unit, unit) for unit in units]
    step = next(step for step in STEPS if len(units) * 3 <= most * step)  # a number is 3 wide
    return [str(number) if not number % step else "" for number in range(1, len(units) + 1)]


def summary(explanation: "Explanation") -> str:
    name = "characters" if explanation.source is None else "units"
    mean = explanation.mean_surprise
    surprise = "" if mean is None else f", {mean:z.4f} bits of surprise on average"
    return f"{len(explanation.units):,} {name}{surprise}"


def parse_arguments(argv: list[str] | None = None) -> tuple[Path, ExplainOptions]:
    parser = FlagParser(
        prog="explain.py",
        description="What a model sees: its surprise at each character, its attention, as a page.",
    )
    add_checkpoint(parser)
    add_flags(parser, ExplainOptions)
    arguments = parser.parse(argv)
    options = check_flags(ExplainOptions, given_flags(arguments, ExplainOptions))
    return find_model(arguments.checkpoint, options.runs_dir), options


@with_flags_in_errors()
def main(argv: list[str] | None = None) -> int:
    path, options = parse_arguments(argv)
    prompt = options.prompt
    if options.prompt_file:
        prompt = read_text(options.prompt_file, "prompt file")[0]
    say_loading(path)
    with ended_at_once():
        from transformer.storage.model_file import load_model

        saved = load_model(path)
    pairs = saved.tokenizer.kind == "pairs"
    explain = explain_with_pair_model if pairs else explain_with_text_model
    explained = explain(saved, prompt, options)
    if options.out.lower().endswith(".png"):
        write_picture(options.out, explained.explanation)
    else:
        from transformer.inspection.page import as_page

        parts = {"num_written": explained.num_written, "cut": explained.cut}
        page = as_page(explained.explanation, model=str(path), **parts)
        write_text(options.out, page)
    print(f"{options.out}: {summary(explained.explanation)}")
    return 0


if __name__ == "__main__":
    run_script(main)
