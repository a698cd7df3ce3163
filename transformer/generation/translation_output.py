"""Shows the translations of generate.py as lines or as JSON."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict

from transformer.generation.options import GenerateOptions
from transformer.generation.prompts import good_prompts
from transformer.generation.translation import Translator
from transformer.system.errors import UserError
from transformer.system.terminal import say

SHOWN_TOGETHER = 4096  # a large group, because a batch takes sources of similar length


def write_translations(
    translator: Translator,
    prompts: Sequence[str],
    options: GenerateOptions,
    show: Callable[[str], None],
    *,
    as_json: bool,
) -> None:
    """Shows the target of the prompt; with `split_lines`, lines of source, tab and target."""
    if not (options.prompt or options.prompt_file):
        raise UserError("an encoder-decoder needs a source: give a `prompt` or a `prompt_file`")
    assert translator.saved is not None
    say(str(translator.saved.path))
    if options.verbose:
        say(f"precision: {translator.precision}")
    if not options.split_lines:  # the line end of a file does not belong to its source
        prompts = [prompt.rstrip("\n") for prompt in prompts]
    sources = good_prompts(translator, prompts, options)
    started_at = time.perf_counter()
    for start in range(0, len(sources), SHOWN_TOGETHER):
        some = sources[start : start + SHOWN_TOGETHER]
        found = translator.search(
            some, num_results=options.num_samples, **asdict(options.searching)
        )
        for source, best in zip(some, found, strict=True):
            for hypothesis in best:
                text = translator.text(hypothesis)
                if as_json:  # log_probability (nats) is the sum over all tokens and the end
                    facts = {"prompt": source, "text": text, **hypothesis._asdict()}
                    show(f"{json.dumps(facts)}\n")
                else:
                    show(f"{source}\t{text}\n" if options.split_lines else f"{text}\n")
    if options.verbose:
        say(f"{len(sources) / (time.perf_counter() - started_at):,.0f} sources/s")
