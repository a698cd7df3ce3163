"""Compares a text model with baselines, on its own validation split or on another text."""

from typing import Any

from tabulate import tabulate

from transformer.data.sources.paths import is_one_text
from transformer.data.sources.settings import in_words, listed
from transformer.data.text.corpus import Text, read_corpus
from transformer.data.text.split import recorded_cuts
from transformer.data.tokenizers.base import Tokenizer
from transformer.evaluation.members import AVERAGED
from transformer.evaluation.options import EvaluateOptions
from transformer.evaluation.own_data import (
    compare_text,
    comparison_line,
    find_own_text,
    own_path,
    settings_of,
)
from transformer.evaluation.own_documents import find_documents
from transformer.evaluation.text import (
    score_baselines,
    score_bigram,
    score_models,
    score_unigram,
)
from transformer.models.base import TokenModel
from transformer.storage.model_file import SavedModel
from transformer.system.devices import resolve_accelerator
from transformer.system.errors import UserError

# The baselines learn from training splits of at most so many tokens.
MOST_TRAINING_TOKENS = 50_000_000

# Explains the rows below the model's.
BASELINES = (
    "The baselines learned from the model's training split. bigram counts how often each {unit} "
    "follows another, unigram how often it occurs. xz is a file packer that copies passages from "
    "anywhere in the text before, but the model reads only its last block_size tokens: so xz can "
    "beat a good model on a text that repeats itself."
)

# Explains the rows of several models.
AVERAGING = (
    "averaged predicts with the mean of the models' probabilities. All read windows of the "
    "smallest block_size."
)


def report_on_text(saved: SavedModel, options: EvaluateOptions) -> dict[str, Any]:
    """The report on the text that the options name, or on the model's own.

    Raises: UserError for a text that is missing, has changed, or has unknown units.
    """
    from_documents = "num_documents" in saved.corpus
    own = saved.config.get("data_path")
    if options.data_path is None and not from_documents:
        path: Any = own_path(saved)
    else:
        path = options.data_path or own
        is_own = listed(path) == listed(own)
        if (from_documents and is_own) or not is_one_text(path):
            return evaluate_documents(saved, path, options)
    settings = settings_of(saved)
    text = read_corpus(path, any_bytes=saved.tokenizer.reads_any_file, encoding=settings.encoding)
    return evaluate_text(
        saved,
        path,
        text,
        options.device,
        skip_unknown=options.skip_unknown,
        split=options.split,
    )


def evaluate_documents(saved: SavedModel, path: Any, options: EvaluateOptions) -> dict[str, Any]:
    """As `evaluate_text`, for a folder, a pattern or another corpus of documents."""
    assert isinstance(saved.model, TokenModel)
    assert isinstance(saved.tokenizer, Tokenizer)
    found = find_documents(saved, path, own=options.data_path is None, skip=options.skip_unknown)
    corpus, name, tokens = found.corpus, "whole corpus", found.corpus.tokens
    if found.is_own:
        name = options.split
        if name == "auto":
            name = "test" if corpus.num_test else "validation"
        tokens = {"validation": corpus.val, "test": corpus.test, "all": corpus.tokens}[name]
        name = "whole corpus" if name == "all" else name
    if (not found.is_own and options.split in ("validation", "test")) or len(tokens) < 2:
        raise UserError(f"{in_words(path)}: has no {options.split} split: leave out `split`")
    model = saved.model.to(resolve_accelerator(options.device))
    most = saved.config.get("val_max_tokens", "auto")
    most = None if most == "auto" else most
    scores = score_models(model, tokens, saved.tokenizer, most)
    if found.is_own and corpus.num_train <= MOST_TRAINING_TOKENS:
        scores["bigram"] = score_bigram(corpus.train, tokens, saved.tokenizer)
        scores["unigram"] = score_unigram(corpus.train, tokens, saved.tokenizer)
    comparison = None if found.is_own else "not the text that the model was trained on"
    return {
        "checkpoint": str(saved.path),
        "data_path": in_words(path),
        "characters": next(iter(scores.values())).size.num_characters or 0,
        "skipped": found.num_skipped,
        "split": name,
        "comparison": comparison,
        "units": saved.tokenizer.units,
        "scores": {name: score.as_dict() for name, score in scores.items()},
    }


def evaluate_text(
    saved: SavedModel,
    data_path: str,
    text: Text,
    device: str,
    *,
    skip_unknown: bool,
    split: str = "auto",
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
    train, chosen, name = split_text(text, known, saved, split)
    scored, num_skipped = tokenizer.drop_unknown(chosen)
    if num_skipped and not skip_unknown:
        tokenizer.encode(chosen)  # raises an error that names them
    tokens = tokenizer.encode(scored)
    if len(tokens) < 2:
        raise UserError(f"{data_path}: has fewer than two {tokenizer.units} to evaluate on")
    scores = score_models(model, tokens, tokenizer)
    if train is not None:
        scores |= score_baselines(tokenizer, train, scored)
    return {
        "checkpoint": str(saved.path),
        "data_path": str(data_path),
        "characters": len(chosen),
        "skipped": num_skipped,
        "split": name,
        "comparison": compare_text(text, known, saved),
        "units": tokenizer.units,
        "scores": {name: score.as_dict() for name, score in scores.items()},
    }


def split_text(
    text: Text, own: Text | None, saved: SavedModel, split: str = "auto"
) -> tuple[str | None, str, str]:
    """The text that the baselines learn from (None if it is missing), and the text to score.

    The last value is the name of what is scored. The baselines learn from the training split of the
    model's own text. Of this text, auto is the test split, or without one the validation split;
    another text is scored as a whole.

    Raises: UserError for a split that this text does not have.
    """
    if own is None:
        return None, _whole(text, saved, split), "whole file"
    cuts = recorded_cuts(saved.corpus, len(own.characters), saved.config["val_fraction"])
    train, val, test = cuts.parts(own.characters)
    if own is not text:
        return train, _whole(text, saved, split), "whole file"
    if split == "auto":
        split = "test" if test else "validation"
    if split == "test" and not test:
        raise UserError(
            f"{saved.path}: the model was trained without a test_fraction: give "
            "`split=validation`, or train with one"
        )
    parts = {"validation": val, "test": test, "all": own.characters}
    return train, parts[split], "whole file" if split == "all" else split


def _whole(text: Text, saved: SavedModel, split: str) -> str:
    if split in ("validation", "test"):
        raise UserError(
            f"{saved.path}: `split={split}` is for the text that the model was trained on: leave "
            "it out to evaluate on all of another text"
        )
    return text.characters


def as_table(report: dict[str, Any]) -> str:
    names = ("loss", "bits_per_char", "bits_per_byte", "perplexity")
    rows = [(name, *map(score.get, names)) for name, score in report["scores"].items()]
    unit = report["units"].removesuffix("s")
    headers = ("", "loss (nats)", "bits per character", "bits per byte", f"perplexity per {unit}")
    table = tabulate(rows, headers=headers, floatfmt=("", "z.4f", "z.4f", "z.4f", "z.3f"))
    baselines = BASELINES.format(unit=unit) + "\n"
    together = f"{AVERAGING}\n" * (AVERAGED in report["scores"])
    skipped = f", {report['skipped']:,} of them unknown and skipped" * bool(report["skipped"])
    return (
        f"{report['checkpoint']} on {report['data_path']} ({report['split']}, "
        f"{report['characters']:,} characters{skipped})\n{comparison_line(report)}"
        f"{together}{baselines * ('xz' in report['scores'])}\n{table}"
    )
