"""The exact loss of a model, beside simple baselines: `python evaluate.py [CHECKPOINT]`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from transformer.data.corpus import Text, num_train, read_corpus
from transformer.errors import UserError
from transformer.runs import find_model

if TYPE_CHECKING:
    from transformer.checkpoint import SavedModel


class EvaluateOptions(ModelOptions):
    """The flags of evaluate.py."""

    data_path: str | None = Field(
        None,
        min_length=1,
        description="text to evaluate on; by default the model's own corpus. Of that corpus (by "
        "sha256) the validation split is taken, of any other file the whole",
    )


def main(argv: list[str] | None = None) -> int:
    parser = FlagParser(prog="evaluate.py", description="The exact loss of a model on a text.")
    add_checkpoint(parser)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    add_flags(parser, EvaluateOptions)
    arguments = parser.parse(argv)
    options = check_flags(EvaluateOptions, given_flags(arguments, EvaluateOptions))
    path = find_model(arguments.checkpoint, options.runs_dir)
    text = None if options.data_path is None else read_corpus(options.data_path)
    report = evaluate(path, text, options)
    print(json.dumps(report, indent=2) if arguments.json else as_table(report))
    return 0


def evaluate(path: Path, text: Text | None, options: EvaluateOptions) -> dict[str, Any]:
    """The model's score and the baselines' on the same characters."""
    from transformer.checkpoint import load_model
    from transformer.devices import resolve_accelerator
    from transformer.evaluation import score_baselines, score_model

    saved = load_model(path)
    model = saved.model.to(resolve_accelerator(options.device))
    data_path = options.data_path or saved.config.get("data_path")
    if data_path is None:
        raise UserError(f"{path}: does not say what it was trained on: give --data_path")
    text = text or read_corpus(data_path)
    train, val = split_text(text, saved)
    tokens, num_skipped = saved.tokenizer.encode_known(val)
    if num_skipped and not options.skip_unknown:
        saved.tokenizer.encode(val)  # says which
    if len(tokens) < 2:
        raise UserError(f"{data_path}: fewer than two characters to evaluate on")
    scores = {"model": score_model(model, tokens)}
    if train is not None:
        scores |= score_baselines(saved.tokenizer, train, saved.tokenizer.decode(tokens))
    return {
        "checkpoint": str(path),
        "data_path": str(data_path),
        "characters": len(val),
        "skipped": num_skipped,
        "split": "validation" if text.sha256 == saved.corpus.get("sha256") else "whole file",
        "scores": {name: score.as_dict() for name, score in scores.items()},
    }


def split_text(text: Text, saved: "SavedModel") -> tuple[str | None, str]:
    """What the baselines learn from, and what is scored.

    Of the model's own corpus: its training and its validation split. Of another text: the whole,
    and the training split of the model's corpus where that file is still there, else None.
    """
    own = text
    if text.sha256 != saved.corpus.get("sha256"):
        path = Path(saved.config.get("data_path", ""))
        own = read_corpus(path) if path.is_file() else None
        if own is None or own.sha256 != saved.corpus.get("sha256"):
            return None, text.characters
    cut = num_train(len(own.characters), saved.config["val_fraction"])
    rest = own.characters[cut:] if own is text else text.characters
    return own.characters[:cut], rest


def as_table(report: dict[str, Any]) -> str:
    from tabulate import tabulate

    rows = [
        (name, score["loss"], score["bits_per_char"], score["perplexity"])
        for name, score in report["scores"].items()
    ]
    headers = ("", "loss (nats)", "bits per character", "perplexity")
    table = tabulate(rows, headers=headers, floatfmt=("", ".4f", ".4f", ".3f"))
    skipped = f", {report['skipped']:,} of them unknown and skipped" * bool(report["skipped"])
    return (
        f"{report['checkpoint']} on {report['data_path']} ({report['split']}, "
        f"{report['characters']:,} characters{skipped})\n\n{table}"
    )


if __name__ == "__main__":
    run_script(main)
