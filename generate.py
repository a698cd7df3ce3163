"""Sample text from a checkpoint alone: `python generate.py --prompt "ROMEO:"`.

Prompt and continuation go to stdout, everything else to stderr.
"""

import secrets
import sys

from pydantic import Field

from transformer.command_line import (
    FlagParser,
    ModelOptions,
    add_checkpoint,
    add_flags,
    check_flags,
    given_flags,
    run_script,
)
from transformer.config import Integer, Number
from transformer.errors import UserError
from transformer.files import read_text
from transformer.runs import find_model

SEPARATOR = "-" * 40


class GenerateOptions(ModelOptions):
    """The flags of generate.py."""

    prompt: str = Field("", description="start of the text; empty starts from a newline")
    prompt_file: str | None = Field(None, description="UTF-8 file that holds the prompt")
    max_new_tokens: Integer = Field(300, gt=0, description="tokens to add")
    num_samples: Integer = Field(1, gt=0, description="texts to make")
    temperature: Number = Field(0.8, ge=0, description="above 1 wilder, below tamer, 0 greedy")
    top_k: Integer | None = Field(None, gt=0, description="draw among the k likeliest")
    top_p: Number | None = Field(
        None, gt=0, le=1, description="draw among the likeliest that hold this probability"
    )
    seed: Integer | None = Field(
        None, ge=0, description="same seed, same text; by default another each time"
    )


def main(argv: list[str] | None = None) -> int:
    parser = FlagParser(prog="generate.py", description="Sample text from a checkpoint.")
    add_checkpoint(parser)
    add_flags(parser, GenerateOptions)
    arguments = parser.parse(argv)
    options = check_flags(GenerateOptions, given_flags(arguments, GenerateOptions))
    if options.prompt and options.prompt_file:
        raise UserError("--prompt and --prompt_file: give one of them")
    prompt = options.prompt
    if options.prompt_file:
        prompt = read_text(options.prompt_file, "prompt file")[0]
    path = find_model(arguments.checkpoint, options.runs_dir)
    seed = secrets.randbelow(2**32) if options.seed is None else options.seed

    from transformer.generation.text import load

    generator = load(path, options.device)
    texts = generator.generate(
        prompt,
        max_new_tokens=options.max_new_tokens,
        num_samples=options.num_samples,
        temperature=options.temperature,
        top_k=options.top_k,
        top_p=options.top_p,
        seed=seed,
        skip_unknown=options.skip_unknown,
    )
    if options.skip_unknown and (dropped := generator.tokenizer.encode_known(prompt)[1]):
        print(f"{dropped:,} unknown characters of the prompt dropped", file=sys.stderr)
    print(f"{path}, seed {seed}", file=sys.stderr)
    print(f"\n{SEPARATOR}\n".join(texts))
    return 0


if __name__ == "__main__":
    run_script(main)
