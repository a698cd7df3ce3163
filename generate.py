"""Generate text with a trained model: `python generate.py --prompt "ROMEO:"`.

The prompt and its continuation go to stdout, everything else to stderr. A single text appears while
it is generated. For an encoder-decoder, the prompt is a source, and its target goes to stdout.
Several checkpoints write together, by the mean of their probabilities.
"""

import contextlib
import io
import json
import sys
from typing import TYPE_CHECKING

from transformer.config.flags import (
    FlagParser,
    add_checkpoints,
    add_flags,
    check_flags,
    given_flags,
)
from transformer.data.sources.paths import check_paths
from transformer.generation.options import GenerateOptions
from transformer.generation.prompts import read_prompts
from transformer.storage.run_folder import find_models
from transformer.system.errors import UserError
from transformer.system.signals import ended_at_once
from transformer.system.terminal import (
    run_script,
    say,
    say_loading,
    saying_news,
    with_flags_in_errors,
)
from transformer.tasks.base import Session
from transformer.tasks.registry import task_of

if TYPE_CHECKING:  # torch is imported only after the input was checked
    from transformer.generation.interactive import CommandLoop


def make_parser() -> FlagParser:
    parser = FlagParser(
        prog="generate.py", description="Continue a text, or translate, with a trained model."
    )
    add_checkpoints(parser)
    parser.add_argument(
        "--json",
        action="store_true",
        help="print one JSON object per sample: text, tokens, offsets, bytes, "
        "log_probabilities, and copied with --mark_copied",
    )
    add_flags(parser, GenerateOptions)
    return parser


def show(text: str) -> None:
    """Prints a piece of a text; a terminal shows it at once, a pipe gets whole lines."""
    at_once = "\n" in text or (sys.stdout is not None and sys.stdout.isatty())
    print(text, end="", flush=at_once)


def talk(loop: "CommandLoop") -> None:
    """Asks for prompts, with line editing and history if the system has them."""
    if sys.stdin is None:
        raise UserError("--interactive reads prompts from stdin, which is closed: give a --prompt")
    if isinstance(sys.stdin, io.TextIOWrapper):  # other bytes than UTF-8 are unknown characters
        sys.stdin.reconfigure(encoding="utf-8", errors="surrogateescape")
    with contextlib.suppress(ImportError):  # on Windows, the console itself has both
        import readline  # noqa: F401  input() uses it
    say(loop.welcome)
    loop.run(lambda: input("> "))


@with_flags_in_errors()
@saying_news()
def main(argv: list[str] | None = None) -> int:
    arguments = make_parser().parse(argv)
    as_json = arguments.json
    options = check_flags(GenerateOptions, given_flags(arguments, GenerateOptions))
    if as_json and options.interactive:
        raise UserError("--interactive does not go with --json: leave out one of them")
    paths = find_models(arguments.checkpoints, options.runs_dir)
    if options.info and len(paths) > 1:
        raise UserError(f"--info describes one model, and {len(paths)} are named: name one")
    if options.data_path is not None:
        check_paths(options.data_path)  # before torch is imported
    prompts = [] if options.info else read_prompts(options)
    say_loading(" and ".join(map(str, paths)))
    with ended_at_once():
        from transformer.storage.averaged import load_models

        saved = load_models(paths)
    if options.info:
        from transformer.generation.facts import as_lines, describe

        facts = describe(saved)
        print(json.dumps(facts, indent=2) if as_json else as_lines(facts))
        return 0
    task = task_of(saved.architecture["model"])
    task.check(options)
    task.generate(saved, options, Session(prompts, show, talk, as_json))
    return 0


if __name__ == "__main__":
    run_script(main)
