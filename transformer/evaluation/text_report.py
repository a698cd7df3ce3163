"""Compares a text model with baselines, on its own validation split or on another text."""

from typing import Any

from tabulate import tabulate

from transformer.data.text.corpus import Text
from transformer.data.text.split import recorded_cut
from transformer.data.tokenizers.base import Tokenizer
from transformer.evaluation.own_data import compare_text, comparison_line, find_own_text
from transformer.evaluation.text import score_baselines, score_model
from transformer.models.base import TokenModel
from transformer.storage.model_file import SavedModel
from transformer.system.devices import resolve_accelerator
from transformer.system.errors import UserError

# Explains the rows below the model's.
BASELINES = (
    "The baselines learned from the model's training split. bigram counts how often each {unit} "
    "follows another, unigram how often it occurs. xz is a file packer that copies passages from "
    "anywhere in the text before, but the model reads only its last block_size tokens: so xz can "
    "beat a good model on a text that repeats itself."
)


def evaluate_text(
    saved: SavedModel, data_path: str, text: Text, device: str, *, skip_unknown: bool
) -> dict[str, Any]:
    """The scores of the model and of the baselines on the same tokens.

    Raises: UserError for a text of fewer than two tokens, and, without `skip_unknown`, for a text
    with unknown units.
    """
    assert isinstance(saved.model, TokenModel)
    assert isinstance(saved.tokenizer, Tokenizer)
    model, tokenizer = saved.model.to(resolve_accelerator(device)), saved.tokenizer
    own = text.sha256 == saved.corpus.get("sha256")
    known = text if own else find_own_text(saved)
    train, val = split_text(text, known, saved)
    scored, num_skipped = tokenizer.drop_unknown(val)
    if num_skipped and not skip_unknown:
        tokenizer.encode(val)  # raises an error that names them
    tokens = tokenizer.encode(scored)
    if len(tokens) < 2:
        raise UserError(f"{data_path}: has fewer than two {tokenizer.units} to evaluate on")
    scores = {"model": score_model(model, tokens, tokenizer)}
    if train is not None:
        scores |= score_baselines(tokenizer, train, scored)
    return {
        "checkpoint": str(saved.path),
        "data_path": str(data_path),
        "characters": len(val),
        "skipped": num_skipped,
        "split": "validation" if own else "whole file",
        "comparison": compare_text(text, known, saved),
        "units": tokenizer.units,
        "scores": {name: score.as_dict() for name, score in scores.items()},
    }


def split_text(text: Text, own: Text | None, saved: SavedModel) -> tuple[str | None, str]:
    """The text that the baselines learn from (None if it is missing), and the text to score.

    The baselines learn from the training split of the model's own text. If `text` is the model's
    own, its validation split is scored, otherwise all of it.
    """
    if own is None:
        return None, text.characters
    cut = recorded_cut(saved.corpus, len(own.characters), saved.config["val_fraction"])
    rest = own.characters[cut:] if own is text else text.characters
    return own.characters[:cut], rest


def as_table(report: dict[str, Any]) -> str:
    names = ("loss", "bits_per_char", "bits_per_byte", "perplexity")
    rows = [(name, *map(score.get, names)) for name, score in report["scores"].items()]
    unit = report["units"].removesuffix("s")
    headers = ("", "loss (nats)", "bits per character", "bits per byte", f"perplexity per {unit}")
    table = tabulate(rows, headers=headers, floatfmt=("", "z.4f", "z.4f", "z.4f", "z.3f"))
    baselines = BASELINES.format(unit=unit) + "\n"
    skipped = f", {report['skipped']:,} of them unknown and skipped" * bool(report["skipped"])
    return (
        f"{report['checkpoint']} on {report['data_path']} ({report['split']}, "
        f"{report['characters']:,} characters{skipped})\n{comparison_line(report)}"
        f"{baselines * ('xz' in report['scores'])}\n{table}"
    )
