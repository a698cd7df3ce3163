"""Reports an encoder-decoder's error rates, on its own test split or another file of pairs."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from tabulate import tabulate

from transformer.data.pairs.reading import Pairs, read_pairs
from transformer.data.pairs.settings import PairSettings
from transformer.evaluation.options import EvaluateOptions
from transformer.evaluation.own_data import comparison_line
from transformer.evaluation.own_pairs import (
    FILE_OF,
    key_of,
    own_fractions,
    path_of,
    read_own_pairs,
)
from transformer.evaluation.pairs import score_translations
from transformer.generation.translation import Translator, make_translator
from transformer.storage.model_file import SavedModel
from transformer.system.errors import UserError


def evaluate_pairs(
    saved: SavedModel, data_path: str | None, options: EvaluateOptions
) -> dict[str, Any]:
    """The error rates on a file of pairs, or on the model's own pairs.

    Raises: UserError for pairs that are missing, malformed or have changed, or without any in the
    split.
    """
    translator = make_translator(saved, options.device, "float32")
    pairs = _read(saved, data_path, translator, options.skip_bad_lines)
    indices, split = choose_pairs(pairs, saved, options.split)
    path = data_path or path_of(saved, split)
    answers = pairs.answers(indices)
    if not answers:
        raise UserError(f"{path}: the {split} split has no pairs: give another `split`")
    sources, num_skipped = list(answers), 0
    if options.skip_unknown:
        known = [translator.drop_unknown(source) for source in sources]
        sources, num_skipped = [text for text, _ in known], sum(number for _, number in known)
    found = iter(translator.translate(list(filter(None, sources)), **asdict(options.searching)))
    translations = [next(found) if source else "" for source in sources]
    score = score_translations(translator.tokenizer, translations, answers)
    scores = {"as they are": score.rates}
    if score.rates_without_stress is not None:
        scores["without stress"] = score.rates_without_stress
    return {
        "checkpoint": str(saved.path),
        "data_path": path,
        "sources": len(sources),
        "skipped": num_skipped,
        "bad_lines": pairs.num_skipped,
        "split": split,
        "comparison": compare_pairs(pairs, saved, answers),
        **asdict(options.searching),
        "scores": {name: rates.as_dict() for name, rates in scores.items()},
    }


def _read(saved: SavedModel, data_path: str | None, translator: Translator, skip: bool) -> Pairs:
    tokenizer = translator.tokenizer
    settings = PairSettings(
        block_size=translator.model.block_size,
        source_units=tokenizer.source.units,
        target_units=tokenizer.target.units,
        skip_bad_lines=skip or saved.config.get("skip_bad_lines", False),
    )
    if data_path is None:
        return read_own_pairs(saved, settings, lambda: tokenizer)
    return read_pairs(data_path, settings, recall=lambda: tokenizer)


def choose_pairs(pairs: Pairs, saved: SavedModel, split: str) -> tuple[Iterable[int], str]:
    """The indices of the pairs in a split, and the split's name.

    The fractions are from the model's training. So a source that it was trained on is in the
    training split of every file.
    """
    if split == "auto":
        split = "test" if pairs.sha256 == saved.corpus.get("sha256") else "all"
    if split == "all":
        return range(len(pairs.sources)), "all files" if any(pairs.own) else "whole file"
    splits = pairs.split(*own_fractions(saved))
    places = {"train": splits.train, "validation": splits.val, "test": splits.test}
    return places[split], split


def compare_pairs(pairs: Pairs, saved: SavedModel, sources: Iterable[str]) -> str | None:
    """A sentence on how far a file's sources were in training; None for all of the model's own."""
    if pairs.sha256 == saved.corpus.get("sha256"):
        return None
    key = key_of(pairs, saved)
    if key in FILE_OF.values():
        return f"the {key} that the model was trained with, by its sha256: it trained on none of it"
    indices, _ = choose_pairs(pairs, saved, "train")
    num_trained = len(pairs.answers(indices).keys() & set(sources))
    way_out = "; --split test leaves them out" * bool(num_trained and own_fractions(saved)[1])
    if key is not None:
        return (
            f"the {key} that the model was trained on, by its sha256: {num_trained:,} of these "
            f"sources are for training, unless another of its files has them{way_out}"
        )
    return (
        "not the file that the model was trained on (different sha256): by their hash, "
        f"{num_trained:,} of these sources belong to the training split; the model was trained on "
        f"them if they are in its own file{way_out}"
    )


def as_table(report: dict[str, Any]) -> str:
    phones = "without stress" in report["scores"]
    names = {"word": "sources wrong", "unit": "unit error rate"}
    if phones:
        names = {"word": "word error rate", "unit": "phoneme error rate"}
    rows = []
    for name, rates in report["scores"].items():
        for kind, words in names.items():
            low, high = (100 * rate for rate in rates[f"{kind}_error_interval"])
            percent = f"{100 * rates[f'{kind}_error_rate']:z.2f}"
            rows.append((words, name, percent, f"{low:z.2f} to {high:z.2f}"))
    table = tabulate(rows, ("", "phones" if phones else "units", "%", "95 % interval"))
    skipped = f", {report['skipped']:,} unknown units skipped" * bool(report["skipped"])
    bad = f", {report['bad_lines']:,} bad lines skipped" * bool(report["bad_lines"])
    return (
        f"{report['checkpoint']} on {report['data_path']} ({report['split']}, "
        f"{report['sources']:,} sources{skipped}{bad}), {report['num_beams']} "
        f"beam{'s' * (report['num_beams'] > 1)}\n{comparison_line(report)}\n{table}"
    )
