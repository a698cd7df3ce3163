"""Sample text from a checkpoint alone: `python generate.py --prompt "ROMEO:"`.

Prompt and continuation go to stdout, everything else to stderr.
"""

import secrets
import sys
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from transformer.command_line import FlagParser, add_flags, check_flags, given_flags, run_script
from transformer.config import Integer, Number
from transformer.errors import UserError
from transformer.files import read_utf8
from transformer.runs import find_model

SEPARATOR = "-" * 40


class GenerateOptions(BaseModel):
    """The flags of generate.py."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

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
    skip_unknown: bool = Field(
        False, description="drop characters that the model never saw from the prompt"
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="where to compute")
    runs_dir: str = Field("runs", description="where the newest run is looked for")


def main(argv: list[str] | None = None) -> int:
    parser = FlagParser(prog="generate.py", description="Sample text from a checkpoint.")
    parser.add_argument(
        "checkpoint",
        nargs="?",
        help="model.safetensors, a .ckpt or a run's folder; by default the newest run's best model",
    )
    add_flags(parser, GenerateOptions)
    arguments = parser.parse(argv)
    options = check_flags(GenerateOptions, given_flags(arguments, GenerateOptions))
    if options.prompt and options.prompt_file:
        raise UserError("--prompt and --prompt_file: give one of them")
    prompt = options.prompt
    if options.prompt_file:
        prompt = read_utf8(options.prompt_file, "prompt file").removeprefix("\ufeff")
        prompt = prompt.replace("\r\n", "\n")
    path = find_model(arguments.checkpoint, options.runs_dir)
    seed = secrets.randbelow(2**32) if options.seed is None else options.seed

    if not path.is_file():
        raise UserError(f"{path}: no such checkpoint: name a model.safetensors, a .ckpt or a run")

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
    write_stdout(f"\n{SEPARATOR}\n".join(texts) + "\n")
    return 0


def write_stdout(text: str) -> None:
    """UTF-8 with LF everywhere, a Windows console's code page or not."""
    sys.stdout.reconfigure(encoding="utf-8", errors="surrogatepass", newline="\n")  # type: ignore[union-attr]
    sys.stdout.write(text)


if __name__ == "__main__":
    run_script(main)
