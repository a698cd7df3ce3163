"""Reports which sentences of minimal pairs a model prefers: `evaluate.py --minimal_pairs`."""

from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tabulate import tabulate

from transformer.data.text.split import recorded_cuts
from transformer.data.tokenizers.base import Tokenizer
from transformer.evaluation.members import AVERAGED, MODEL, named_models
from transformer.evaluation.minimal_pairs.preferences import ALL, preferences
from transformer.evaluation.minimal_pairs.reading import (
    EncodedPair,
    MinimalPair,
    encode_pairs,
    read_minimal_pairs,
)
from transformer.evaluation.minimal_pairs.scoring import score_with_bigram, score_with_model
from transformer.evaluation.options import EvaluateOptions
from transformer.evaluation.own_data import find_own_text, recorded_path
from transformer.evaluation.own_documents import find_documents
from transformer.evaluation.text import BigramCounts, Tokens
from transformer.evaluation.text_report import MOST_TRAINING_TOKENS
from transformer.models.base import TokenModel
from transformer.storage.model_file import SavedModel
from transformer.system.devices import resolve_accelerator
from transformer.system.errors import UserError

BIGRAM = "bigram"
_SHOWN_TIES = 10


def report_on_minimal_pairs(saved: SavedModel, options: EvaluateOptions) -> dict[str, Any]:
    """Raises: UserError for a file that is malformed, and for units that the model never saw."""
    path = options.minimal_pairs
    assert path is not None
    assert isinstance(saved.model, TokenModel)
    assert isinstance(saved.tokenizer, Tokenizer)
    pairs = read_minimal_pairs(path)
    encoded, skipped = encode_pairs(path, pairs, saved.tokenizer, skip_unknown=options.skip_unknown)
    begin = begin_of(saved)
    sums, num_tokens = _scores(saved, encoded, begin, options.device)
    phenomena = [pair.phenomenon for pair in pairs]
    scores = {name: preferences(each, num_tokens, phenomena) for name, each in sums.items()}
    lines = [pair.line for pair in pairs]
    for score in scores.values():
        score["ties"] = {kind: [lines[n] for n in ties] for kind, ties in score["ties"].items()}
    main = main_of(sums)
    return {
        "checkpoint": str(saved.path),
        "minimal_pairs": path,
        "pairs": len(pairs),
        "skipped": skipped,
        "units": saved.tokenizer.units,
        "begin": saved.tokenizer.pieces[begin[-1]] if begin else None,
        "scores": scores,
        "each_pair": _each_pair(pairs, sums[main], num_tokens),
    }


def main_of(scores: dict[str, Any]) -> str:
    """The name of the model, or of the average of several."""
    return AVERAGED if AVERAGED in scores else MODEL


def begin_of(saved: SavedModel) -> list[int]:
    """The tokens after which a model has seen sentences begin: an end of text, or a line end.

    The end of a text is for models of documents, and for those of other programs. A model of one
    text has seen lines, but no such token. Empty if the model knows no line end either.
    """
    tokenizer = saved.tokenizer
    assert isinstance(tokenizer, Tokenizer)
    saw_ends = not saved.corpus or "num_documents" in saved.corpus
    if tokenizer.end_of_text is not None and saw_ends:
        return [tokenizer.end_of_text]
    return [] if tokenizer.unknown("\n") else tokenizer.encode("\n").tolist()


def _scores(
    saved: SavedModel, encoded: list[EncodedPair], begin: list[int], device: str
) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.int64]]:
    """The sums (N, 2) by the name of the model, and the numbers of tokens (N, 2) in them."""
    assert isinstance(saved.model, TokenModel)
    start = np.array(begin, dtype=np.int32)
    sentences = [np.concatenate((start, side)) for pair in encoded for side in pair]
    first_scored = max(1, len(begin))
    model = saved.model.to(resolve_accelerator(device))
    sums = {
        name: score_with_model(one, sentences, first_scored, model.block_size)
        for name, one in named_models(model).items()
    }
    if not all(np.isfinite(each).all() for each in sums.values()):
        raise UserError(f"{saved.path}: the log-probabilities of this model are not finite")
    if (train := _training_tokens(saved)) is not None:
        counts = BigramCounts(train, model.architecture["vocab_size"])
        sums[BIGRAM] = score_with_bigram(counts, sentences, first_scored)
    num_tokens = np.array(list(map(len, sentences)), dtype=np.int64) - first_scored
    return {name: each.reshape(-1, 2) for name, each in sums.items()}, num_tokens.reshape(-1, 2)


def _training_tokens(saved: SavedModel) -> Tokens | None:
    """None if the model's own data is missing, has changed, or is too long to count."""
    assert isinstance(saved.tokenizer, Tokenizer)
    if "num_documents" in saved.corpus:
        with suppress(UserError):
            corpus = find_documents(saved, recorded_path(saved), own=True).corpus
            return corpus.train if corpus.num_train <= MOST_TRAINING_TOKENS else None
        return None
    if (own := find_own_text(saved)) is None:
        return None
    cuts = recorded_cuts(saved.corpus, len(own.characters), saved.config["val_fraction"])
    return saved.tokenizer.encode(cuts.parts(own.characters)[0])


def _each_pair(
    pairs: list[MinimalPair], sums: NDArray[np.float64], num_tokens: NDArray[np.int64]
) -> list[dict[str, Any]]:
    rows = zip(pairs, sums.tolist(), num_tokens.tolist(), strict=True)
    return [
        {
            "line": pair.line,
            "phenomenon": pair.phenomenon,
            "log_probabilities": both,
            "num_scored": numbers,
        }
        for pair, both, numbers in rows
    ]


def as_table(report: dict[str, Any]) -> str:
    skipped = f", {report['skipped']:,} unknown {report['units']} skipped" * bool(report["skipped"])
    scores = report["scores"]
    main = main_of(scores)
    number = f"{report['pairs']:,} pair{'s' * (report['pairs'] > 1)}"
    parts = [
        f"{report['checkpoint']} on {report['minimal_pairs']} ({number}{skipped})",
        _explained(report),
        "",
        _overall(scores),
    ]
    if names := scores[main]["sum"]["phenomena"]:
        parts += ["", _by_phenomenon(scores, main, list(names))]
    parts += [line for name, score in scores.items() for line in _tied(name, score["ties"])]
    return "\n".join(parts)


def _explained(report: dict[str, Any]) -> str:
    begin = report["begin"]
    after = (
        "The first token of a sentence is not scored."
        if begin is None
        else f"Each sentence follows {begin!r}, which is not scored."
    )
    bigram = (
        f"{BIGRAM} counts in the model's training split how often each "
        f"{report['units'].removesuffix('s')} follows another."
        if BIGRAM in report["scores"]
        else "No bigram beside it: the model's training data is missing, has changed, or is large."
    )
    return (
        "How often the acceptable sentence has the higher log-probability: the sum, or the mean "
        f"per token. A tie counts half. {after} In brackets: 95 % intervals (Wilson 1927), if "
        f"pairs are independent. {bigram}"
    )


def _overall(scores: dict[str, Any]) -> str:
    rows = [
        (name, *(_cell(score[kind][ALL]) for kind in ("sum", "mean")))
        for name, score in scores.items()
    ]
    return tabulate(rows, ("", "sum, %", "mean, %"), disable_numparse=True)


def _by_phenomenon(scores: dict[str, Any], main: str, names: list[str]) -> str:
    columns = [(main, "sum"), (main, "mean"), *([(BIGRAM, "sum")] if BIGRAM in scores else [])]
    rows = []
    for name in names:
        found = [scores[who][kind]["phenomena"][name] for who, kind in columns]
        rows.append((name or "(no name)", f"{found[0]['pairs']:,}", *map(_cell, found)))
    headers = ("phenomenon", "pairs", *(f"{who}: {kind}, %" for who, kind in columns))
    align = ("left", "right", *("left" for _ in columns))
    return tabulate(rows, headers, colalign=align, disable_numparse=True)


def _cell(rate: dict[str, Any]) -> str:
    low, high = (100 * end for end in rate["interval"])
    return f"{100 * rate['accuracy']:5.1f} ({low:.1f} to {high:.1f})"


def _tied(name: str, ties: dict[str, list[int]]) -> list[str]:
    lines = []
    for kind, numbers in ties.items():
        if numbers:
            more = len(numbers) - _SHOWN_TIES
            shown = ", ".join(map(str, numbers[:_SHOWN_TIES])) + f" and {more:,} more" * (more > 0)
            lines.append(f"ties of the {name} by the {kind}: {len(numbers):,}, in lines {shown}")
    return lines
