"""Sample text from a checkpoint alone: `python generate.py --prompt "ROMEO:"`.

Prompt and continuation go to stdout, a single text as it is made, everything else to stderr. An
encoder-decoder's prompt is a source, and what goes to stdout is the target.
"""

import contextlib
import io
import json
import secrets
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from transformer.config.flags import FlagParser, add_checkpoint, add_flags, check_flags, given_flags
from transformer.generation.options import GenerateOptions
from transformer.generation.prompts import good_prompts, read_prompts
from transformer.generation.speed import Speed
from transformer.storage.run_folder import find_model
from transformer.system.errors import UserError
from transformer.system.signals import ended_at_once
from transformer.system.terminal import run_script, say, say_loading, with_flags_in_errors

if TYPE_CHECKING:  # torch is imported once the input is known to be good
    from transformer.decoding.beam_search import Hypothesis
    from transformer.generation.continuation import Continuation
    from transformer.generation.interactive import CommandLoop
    from transformer.generation.text import TextGenerator
    from transformer.generation.translation import Translator
    from transformer.storage.model_file import SavedModel

SEPARATOR = "-" * 40
SHOWN_TOGETHER = 4096  # translations: sources of equal length make a batch


class Arguments(NamedTuple):
    """The model file, the checked flags, and whether to write JSON."""

    path: Path
    options: GenerateOptions
    json: bool


def parse_arguments(argv: list[str] | None = None) -> Arguments:
    parser = FlagParser(
        prog="generate.py", description="Text from a checkpoint: a continuation, or a translation."
    )
    add_checkpoint(parser)
    parser.add_argument(
        "--json",
        action="store_true",
        help="one JSON object a sample: text, tokens, log_probabilities",
    )
    add_flags(parser, GenerateOptions)
    arguments = parser.parse(argv)
    options = check_flags(GenerateOptions, given_flags(arguments, GenerateOptions))
    if arguments.json and options.interactive:
        raise UserError("--interactive asks for prompts itself: leave --json out")
    path = find_model(arguments.checkpoint, options.runs_dir)
    return Arguments(path, options, arguments.json)


def write_texts(
    generator: "TextGenerator",
    prompts: list[str],
    options: GenerateOptions,
    seed: int,
    *,
    as_json: bool,
) -> None:
    """Every sample of every prompt, decoded as one batch; Ctrl+C leaves what is there so far."""
    from transformer.decoding.sampling import Sampler

    prompts = good_prompts(generator, prompts, options)
    rows = generator.begin([p for p in prompts for _ in range(options.num_samples)], options.stop)
    assert generator.saved is not None
    say(f"{generator.saved.path}, seed {seed}")
    steps = generator.write(
        rows,
        max_new_tokens=options.max_new_tokens,
        sampler=Sampler(**options.sampling, seed=seed),
        with_log_probabilities=as_json,
    )
    speed = Speed(rows, generator.model.block_size)
    try:
        show_rows(rows, speed.timed(steps), seed, as_json=as_json)
    finally:  # behind the line end of the text
        if options.verbose and speed.times:
            say(str(speed))


def show_rows(
    rows: list["Continuation"], steps: Iterator[None], seed: int, *, as_json: bool
) -> None:
    if len(rows) == 1 and not as_json:
        stream(rows[0], steps)
        return
    started = False
    try:
        for _ in steps:
            started = True
    finally:
        if started and as_json:
            show("".join(f"{json.dumps(as_dict(row, seed))}\n" for row in rows))
        elif started:
            show(f"\n{SEPARATOR}\n".join(row.prompt + row.text for row in rows) + "\n")


def write_translations(
    translator: "Translator", prompts: list[str], options: GenerateOptions, *, as_json: bool
) -> None:
    """The target of a prompt; of several prompts, a line of source, tab and target each."""
    if not (options.prompt or options.prompt_file):
        raise UserError("an encoder-decoder needs a source: give a --prompt or --prompt_file")
    assert translator.saved is not None
    say(str(translator.saved.path))
    if not options.split_lines:  # the line end of a file is no part of its source
        prompts = [prompt.rstrip("\n") for prompt in prompts]
    sources = good_prompts(translator, prompts, options)
    started_at = time.perf_counter()
    for start in range(0, len(sources), SHOWN_TOGETHER):
        some = sources[start : start + SHOWN_TOGETHER]
        found = translator.search(some, num_results=options.num_samples, **options.searching)
        for source, best in zip(some, found, strict=True):
            for hypothesis in best:
                text = translator.text(hypothesis)
                if as_json:
                    show(f"{json.dumps(hypothesis_as_dict(source, text, hypothesis))}\n")
                else:
                    show(f"{source}\t{text}\n" if options.split_lines else f"{text}\n")
    if options.verbose:
        say(f"{len(sources) / (time.perf_counter() - started_at):,.0f} sources/s")


def hypothesis_as_dict(source: str, text: str, hypothesis: "Hypothesis") -> dict[str, Any]:
    """`log_probability` (nats) is that of all tokens and the end together."""
    return {"prompt": source, "text": text, **hypothesis._asdict()}


def stream(row: "Continuation", steps: Iterator[None]) -> None:
    """Prompt and text as it is made, and a line end; nothing where not one token was made."""
    prompt = row.prompt
    try:
        for _ in steps:
            show(prompt + row.take())
            prompt = ""
    finally:
        if not prompt:
            show(f"{row.take(final=True)}\n")


def as_dict(row: "Continuation", seed: int) -> dict[str, Any]:
    """`tokens` and `log_probabilities` (nats, of the model itself) are those of `text`."""
    return {
        "prompt": row.prompt,
        "text": row.text,
        "tokens": row.tokens,
        "log_probabilities": row.log_probabilities,
        "seed": seed,
    }


def show(text: str) -> None:
    """Whole characters at once; on a terminal every one, in a pipe every line."""
    at_once = "\n" in text or (sys.stdout is not None and sys.stdout.isatty())
    print(text, end="", flush=at_once)


def talk(loop: "CommandLoop") -> None:
    """Prompts are asked for, with line editing and history where the system has them."""
    if sys.stdin is None:
        raise UserError("--interactive reads prompts from stdin, which is closed: give a --prompt")
    if isinstance(sys.stdin, io.TextIOWrapper):  # what is no UTF-8 is refused as never seen
        sys.stdin.reconfigure(encoding="utf-8", errors="surrogateescape")
    with contextlib.suppress(ImportError):  # Windows, whose console does both
        import readline  # noqa: F401  input() uses it
    say(loop.welcome)
    loop.run(lambda: input("> "))


def write_from_text_model(
    saved: "SavedModel", prompts: list[str], options: GenerateOptions, *, as_json: bool
) -> None:
    from transformer.generation.text import make_generator

    generator = make_generator(saved, options.device, options.precision)
    seed = secrets.randbelow(2**32) if options.seed is None else options.seed
    if options.interactive:
        from transformer.generation.interactive import PromptLoop

        talk(PromptLoop(generator, options, seed, show))
    else:
        write_texts(generator, prompts, options, seed, as_json=as_json)


def write_from_pair_model(
    saved: "SavedModel", prompts: list[str], options: GenerateOptions, *, as_json: bool
) -> None:
    from transformer.generation.translation import make_translator

    translator = make_translator(saved, options.device, options.precision)
    if options.interactive:
        from transformer.generation.interactive import TranslationLoop

        talk(TranslationLoop(translator, options, show))
    else:
        write_translations(translator, prompts, options, as_json=as_json)


@with_flags_in_errors()
def main(argv: list[str] | None = None) -> int:
    path, options, as_json = parse_arguments(argv)
    prompts = [] if options.info else read_prompts(options)
    say_loading(path)
    with ended_at_once():
        from transformer.storage.model_file import load_model

        saved = load_model(path)
    if options.info:
        from transformer.generation.facts import as_lines, describe

        facts = describe(saved)
        print(json.dumps(facts, indent=2) if as_json else as_lines(facts))
        return 0
    options.check_for(saved.architecture["model"])
    write = write_from_pair_model if saved.tokenizer.kind == "pairs" else write_from_text_model
    write(saved, prompts, options, as_json=as_json)
    return 0


if __name__ == "__main__":
    run_script(main)
