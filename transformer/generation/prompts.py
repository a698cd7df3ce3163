"""Reads the prompts of generate.py, and selects those that a model can read."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from transformer.generation.options import GenerateOptions
from transformer.system.errors import UserError
from transformer.system.files import read_text
from transformer.system.terminal import say

if TYPE_CHECKING:
    from transformer.generation.text import TextGenerator
    from transformer.generation.translation import Translator

_NAMED_LINES = 5


def read_prompts(options: GenerateOptions) -> list[str]:
    """One prompt, or with `split_lines` one per line of the prompt file, which may be no UTF-8.

    Raises: UserError if the prompt file is missing.
    """
    if not options.prompt_file:
        return [options.prompt]
    text = read_text(options.prompt_file, "prompt file", any_bytes=True).text
    return text.removesuffix("\n").split("\n") if options.split_lines else [text]


def known_prompts(
    model: "TextGenerator | Translator", prompts: Sequence[str], *, skip_unknown: bool
) -> Sequence[str]:
    """With `skip_unknown`, removes unknown units from the prompts and tells how many."""
    if not skip_unknown:
        return prompts
    known = [model.drop_unknown(prompt) for prompt in prompts]
    if num_dropped := sum(number for _, number in known):
        say(f"{num_dropped:,} unknown {model.tokenizer.units} of the prompt dropped")
    return [prompt for prompt, _ in known]


def good_prompts(
    model: "TextGenerator | Translator", prompts: Sequence[str], options: GenerateOptions
) -> list[str]:
    """The prompts that the model can read; with `skip_bad_lines`, other lines are only counted.

    Raises: UserError for the first prompt that it cannot read, before any text is shown, and for a
    file that is no UTF-8, unless the model's tokenizer reads any file.
    """
    if options.prompt_file and not model.tokenizer.reads_any_file:
        read_text(options.prompt_file, "prompt file")
    good: list[str] = []
    bad: list[int] = []
    prompts = known_prompts(model, prompts, skip_unknown=options.skip_unknown)
    for number, prompt in enumerate(prompts, start=1):
        if options.skip_bad_lines and not prompt.strip():
            bad.append(number)
            continue
        try:
            model.encode(prompt)
            good.append(prompt)
        except UserError as error:
            if not options.split_lines:
                raise
            if not options.skip_bad_lines:
                place = f"{options.prompt_file}:{number}"
                way_out = "or give --skip_bad_lines to skip such lines"
                raise UserError(f"{place}: {error}, {way_out}") from None
            bad.append(number)
    if bad:
        numbers = ", ".join(map(str, bad[:_NAMED_LINES]))
        more = f" and {len(bad) - _NAMED_LINES:,} more" * (len(bad) > _NAMED_LINES)
        lines = f"{len(bad):,} bad line{'s' * (len(bad) > 1)}"
        say(f"{options.prompt_file}: {lines} ({numbers}{more}) skipped")
    if not good:
        raise UserError(f"{options.prompt_file}: the model can read no line")
    return good
