"""Explains the prompt of explain.py: a text, or a source."""

from typing import NamedTuple

from transformer.decoding.sampling import Sampler
from transformer.decoding.settings import TEMPERATURE
from transformer.generation.prompts import known_prompts
from transformer.generation.text import make_generator
from transformer.generation.translation import make_translator
from transformer.inspection.explanation import Explanation, explain_text, explain_translation
from transformer.inspection.options import ExplainOptions
from transformer.storage.model_file import SavedModel
from transformer.system.errors import UserError
from transformer.system.terminal import say


class Explained(NamedTuple):
    explanation: Explanation
    num_written: int = 0  # units at the end that the model wrote
    cut: str = ""  # a sentence about the units that are not shown


def explain_with_text_model(saved: SavedModel, prompt: str, options: ExplainOptions) -> Explained:
    """Explains the prompt and, with `max_new_tokens`, the text that the model adds."""
    generator = make_generator(saved, options.device, "float32")
    (prompt,) = known_prompts(generator, [prompt], skip_unknown=options.skip_unknown)
    (row,) = generator.begin([prompt])
    sampler = Sampler(seed=options.seed, temperature=TEMPERATURE)
    for _ in generator.write([row], max_new_tokens=options.max_new_tokens, sampler=sampler):
        pass
    tokenizer = generator.tokenizer
    ids = [*row.prompt_tokens, *row.tokens]
    num_prompt, num_all = len(tokenizer.encode(prompt)), len(ids)
    if num_all < 2:
        raise UserError(
            f"nothing is predicted in a prompt of fewer than two {tokenizer.units}: give a longer "
            "prompt, or `max_new_tokens=100` to let the model continue it"
        )
    if cut := cut_off(num_prompt, num_all, generator.model.block_size, tokenizer.units):
        say(cut)
    explanation = explain_text(generator.model, tokenizer, ids)
    return Explained(explanation, min(num_all - num_prompt, len(explanation.units)), cut)


def cut_off(num_prompt: int, num_all: int, most: int, units: str) -> str:
    """A sentence that says how much is shown of a text longer than `most`; "" for other texts."""
    if num_all <= most:
        return ""
    told = f"{num_all:,} {units}, but the model reads {most:,}: the last {most:,} are shown"
    if num_all == num_prompt:
        return told
    left = max(0, num_prompt - (num_all - most))
    shown = f"the last {left:,} of the prompt's {num_prompt:,}" if left else "nothing of the prompt"
    told = f"{told}, with {shown}" if left else f"{told}, and {shown}"
    room = most - num_prompt
    return f"{told}; --max_new_tokens {room} or fewer shows all of it" if room > 0 else told


def explain_with_pair_model(saved: SavedModel, prompt: str, options: ExplainOptions) -> Explained:
    translator = make_translator(saved, options.device, "float32")
    prompt = prompt.rstrip("\n")  # the line end of a file does not belong to its source
    (source,) = known_prompts(translator, [prompt], skip_unknown=options.skip_unknown)
    return Explained(explain_translation(translator, source))
