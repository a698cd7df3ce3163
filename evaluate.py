"""The exact loss of a model, beside simple baselines: `python evaluate.py [CHECKPOINT]`."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from transformer.command_line import FlagParser, add_flags, check_flags, given_flags, run_script
from transformer.data.corpus import Text, num_train, read_text
from transformer.errors import UserError
from transformer.runs import find_model

if TYPE_CHECKING:
    from transformer.checkpoint import SavedModel


class EvaluateOptions(BaseModel):
    """The flags of evaluate.py."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    data_path: str | None = Field(
        None,
        min_length=1,
        description="text to evaluate on; by default the model's own corpus. Of that corpus (by "
        "sha256) the validation split is taken, of any other file the whole",
    )
    skip_unknown: bool = Field(
        False, description="leave out characters that the model never saw, and count them"
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="where to compute")
    runs_dir: str = Field("runs", description="where the newest run is looked for")


def main(argv: list[str] | None = None) -> int:
    parser = FlagParser(prog="evaluate.py", description="The exact loss of a model on a text.")
    parser.add_argument(
        "checkpoint",
        nargs="?",
        help="model.safetensors, a .ckpt or a run's folder; by default the newest run's best model",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    add_flags(parser, EvaluateOptions)
    arguments = parser.parse(argv)
    options = check_flags(EvaluateOptions, given_flags(arguments, EvaluateOptions))
    path = find_model(arguments.checkpoint, options.runs_dir)
    if not path.is_file():
        raise UserError(f"{path}: no such checkpoint: name a model.safetensors, a .ckpt or a run")
    text = None if options.data_path is None else read_text(options.data_path)
    report = evaluate(path, text, options)
    sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]
    print(json.dumps(report, indent=2) if arguments.json else as_table(report))
    return 0


def evaluate(path: Path, text: Text | None, options: EvaluateOptions) -> dict[str, Any]:
    """The model's score and the baselines' on the same characters."""
    from transformer.evaluation import score_baselines, score_model
    from transformer.generation.text import load

    saved = load(path, options.device).saved
    assert saved is not None
    data_path = options.data_path or saved.config.get("data_path")
    if data_path is None:
        raise UserError(f"{path}: does not say what it was trained on: give --data_path")
    text = text or read_text(data_path)
    train, val = split_text(text, saved)
    tokens, num_skipped = saved.tokenizer.encode_known(val)
    if not options.skip_unknown:
        tokens = saved.tokenizer.encode(val)
    if len(tokens) < 2:
        raise UserError(f"{data_path}: fewer than two characters to evaluate on")
    scores = {"model": score_model(saved.model, tokens)}
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
        own = read_text(path) if path.is_file() else None
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
