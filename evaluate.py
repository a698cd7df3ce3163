"""The exact loss of a model, beside simple baselines: `python evaluate.py [CHECKPOINT]`.

Of an encoder-decoder: how many of the test split's sources it gets wrong.
"""

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from transformer.config.flags import FlagParser, add_checkpoint, add_flags, check_flags, given_flags
from transformer.config.types import Boolean, FilePath
from transformer.data.pairs.reading import Pairs, read_pairs
from transformer.data.text.corpus import Text, num_train, read_corpus
from transformer.evaluation.own_data import compare_text, find_own_text, own_path
from transformer.generation.options import SEARCHING, SearchOptions
from transformer.storage.run_folder import find_model
from transformer.system.errors import UserError
from transformer.system.terminal import run_script, say_loading, with_flags_in_errors

# What the rows beside the model's are.
BASELINES = (
    "The baselines learned from the model's training split: bigram and unigram how often each "
    "character follows another, and how often it occurs; xz is a file packer that copies passages "
    "it has seen anywhere before, so on a text that repeats itself it can beat a good model, which "
    "reads no further back than its block_size."
)

if TYPE_CHECKING:
    from transformer.storage.model_file import SavedModel


class EvaluateOptions(SearchOptions):
    """The flags of evaluate.py."""

    data_path: FilePath | None = Field(
        None,
        min_length=1,
        description="text or pairs to evaluate on; by default the model's own. Of these (by "
        "sha256) the validation split of a text and the test split of pairs is taken, of any other "
        "file the whole",
    )
    split: Literal["auto", "test", "validation", "all"] = Field(
        "auto",
        description="which pairs of the file, by the hash of their sources; auto: see --data_path",
    )
    skip_bad_lines: Boolean = Field(False, description="leave out lines that are no pair")


@with_flags_in_errors()
def main(argv: list[str] | None = None) -> int:
    parser = FlagParser(
        prog="evaluate.py",
        description="The exact loss of a model on a text, or its error rates on pairs.",
    )
    add_checkpoint(parser)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    add_flags(parser, EvaluateOptions)
    arguments = parser.parse(argv)
    options = check_flags(EvaluateOptions, given_flags(arguments, EvaluateOptions))
    path = find_model(arguments.checkpoint, options.runs_dir)
    text = None if options.data_path is None else read_corpus(options.data_path)
    say_loading(path)
    from transformer.storage.model_file import load_model

    saved = load_model(path)
    data_path = options.data_path or own_path(saved)
    if saved.tokenizer.kind == "pairs":
        report = evaluate_pairs(saved, data_path, options)
        table = pairs_as_table
    else:
        for name in ("split", "skip_bad_lines", *SEARCHING):
            if name in options.model_fields_set:
                raise UserError(f"--{name} does not apply to a model of texts: leave it out")
        report = evaluate_text(saved, data_path, text, options)
        table = as_table
    print(json.dumps(report, indent=2) if arguments.json else table(report))
    return 0


def evaluate_text(
    saved: "SavedModel", data_path: str, text: Text | None, options: EvaluateOptions
) -> dict[str, Any]:
    """The model's score and the baselines' on the same characters."""
    from transformer.data.tokenizers.characters import CharacterTokenizer
    from transformer.evaluation.text import score_baselines, score_model
    from transformer.models.base import TokenModel
    from transformer.system.devices import resolve_accelerator

    assert isinstance(saved.model, TokenModel)
    assert isinstance(saved.tokenizer, CharacterTokenizer)
    model = saved.model.to(resolve_accelerator(options.device))
    text = text or read_corpus(data_path)
    own = text.sha256 == saved.corpus.get("sha256")
    known = text if own else find_own_text(saved)
    train, val = split_text(text, known, saved)
    tokens, num_skipped = saved.tokenizer.encode_known(val)
    if num_skipped and not options.skip_unknown:
        saved.tokenizer.encode(val)  # says which
    if len(tokens) < 2:
        raise UserError(f"{data_path}: fewer than two characters to evaluate on")
    scores = {"model": score_model(model, tokens)}
    if train is not None:
        scores |= score_baselines(saved.tokenizer, train, saved.tokenizer.decode(tokens))
    return {
        "checkpoint": str(saved.path),
        "data_path": str(data_path),
        "characters": len(val),
        "skipped": num_skipped,
        "split": "validation" if own else "whole file",
        "comparison": compare_text(text, known, saved),
        "scores": {name: score.as_dict() for name, score in scores.items()},
    }


def split_text(text: Text, own: Text | None, saved: "SavedModel") -> tuple[str | None, str]:
    """What the baselines learn from, and what is scored.

    Of the model's own text: its training and its validation split. Of another text: the whole, and
    the training split of the model's own where that is at hand.
    """
    if own is None:
        return None, text.characters
    cut = num_train(len(own.characters), saved.config["val_fraction"])
    rest = own.characters[cut:] if own is text else text.characters
    return own.characters[:cut], rest


def evaluate_pairs(saved: "SavedModel", data_path: str, options: EvaluateOptions) -> dict[str, Any]:
    """Error rates of one translation of each source; any of its answers counts."""
    from transformer.evaluation.pairs import score_translations
    from transformer.generation.translation import make_translator

    translator = make_translator(saved, options.device, "float32")
    tokenizer = translator.tokenizer
    pairs = read_pairs(
        data_path,
        block_size=translator.model.block_size,
        source_units=tokenizer.source.units,
        target_units=tokenizer.target.units,
        skip_bad_lines=options.skip_bad_lines or saved.config.get("skip_bad_lines", False),
    )
    indices, split = choose_pairs(pairs, saved, options.split)
    answers = pairs.answers(indices)
    if not answers:
        raise UserError(f"{data_path}: no pair is in the {split} split: give another --split")
    sources, num_skipped = list(answers), 0
    if options.skip_unknown:
        known = [translator.drop_unknown(source) for source in sources]
        sources, num_skipped = [text for text, _ in known], sum(number for _, number in known)
    found = iter(translator.translate(list(filter(None, sources)), **options.searching))
    translations = [next(found) if source else "" for source in sources]
    score = score_translations(tokenizer, translations, answers)
    scores = {"as they are": score.rates}
    if score.rates_without_stress is not None:
        scores["without stress"] = score.rates_without_stress
    return {
        "checkpoint": str(saved.path),
        "data_path": str(data_path),
        "sources": len(sources),
        "skipped": num_skipped,
        "bad_lines": pairs.num_skipped,
        "split": split,
        "comparison": compare_pairs(pairs, saved, answers),
        **options.searching,
        "scores": {name: rates.as_dict() for name, rates in scores.items()},
    }


def choose_pairs(pairs: Pairs, saved: "SavedModel", split: str) -> tuple[Iterable[int], str]:
    """Places in `pairs`, and the split's name.

    The fractions are those of the model's training, so that a source that it was trained on is in
    no other split, whatever file it stands in.
    """
    if split == "auto":
        split = "test" if pairs.sha256 == saved.corpus.get("sha256") else "all"
    if split == "all":
        return range(len(pairs.sources)), "whole file"
    splits = pairs.split(saved.config["val_fraction"], saved.config["test_fraction"])
    places = {"train": splits.train, "validation": splits.val, "test": splits.test}
    return places[split], split


def compare_pairs(pairs: Pairs, saved: "SavedModel", sources: Iterable[str]) -> str | None:
    """A sentence on which `sources` of another file may have been in the model's training split."""
    if pairs.sha256 == saved.corpus.get("sha256"):
        return None
    indices, _ = choose_pairs(pairs, saved, "train")
    num_trained = len(pairs.answers(indices).keys() & set(sources))
    return (
        "not the file that the model was trained on, by its sha256: by their hash, "
        f"{num_trained:,} of these sources belong to the training split; the model was trained on "
        "those of them that its own file has" + "; --split test leaves them out" * bool(num_trained)
    )


def pairs_as_table(report: dict[str, Any]) -> str:
    from tabulate import tabulate

    phones = "without stress" in report["scores"]
    names = {"word": "sources wrong", "unit": "unit error rate"}
    if phones:
        names = {"word": "word error rate", "unit": "phoneme error rate"}
    rows = []
    for name, rates in report["scores"].items():
        for kind, words in names.items():
            interval = "{:z.2f} to {:z.2f}".format(
                *(100 * x for x in rates[f"{kind}_error_interval"])
            )
            rows.append((words, name, f"{100 * rates[f'{kind}_error_rate']:z.2f}", interval))
    table = tabulate(rows, ("", "phones" if phones else "units", "%", "95 % interval"))
    skipped = f", {report['skipped']:,} unknown units skipped" * bool(report["skipped"])
    bad = f", {report['bad_lines']:,} bad lines left out" * bool(report["bad_lines"])
    return (
        f"{report['checkpoint']} on {report['data_path']} ({report['split']}, "
        f"{report['sources']:,} sources{skipped}{bad}), {report['num_beams']} "
        f"beam{'s' * (report['num_beams'] > 1)}\n{compared(report)}\n{table}"
    )


def compared(report: dict[str, Any]) -> str:
    """A line on a file other than the model's own."""
    return f"{report['data_path']}: {report['comparison']}\n" if report["comparison"] else ""


def as_table(report: dict[str, Any]) -> str:
    from tabulate import tabulate

    rows = [
        (name, score["loss"], score["bits_per_char"], score["perplexity"])
        for name, score in report["scores"].items()
    ]
    headers = ("", "loss (nats)", "bits per character", "perplexity")
    table = tabulate(rows, headers=headers, floatfmt=("", "z.4f", "z.4f", "z.3f"))
    baselines = f"{BASELINES}\n" * ("xz" in report["scores"])
    skipped = f", {report['skipped']:,} of them unknown and skipped" * bool(report["skipped"])
    return (
        f"{report['checkpoint']} on {report['data_path']} ({report['split']}, "
        f"{report['characters']:,} characters{skipped})\n{compared(report)}{baselines}\n{table}"
    )


if __name__ == "__main__":
    run_script(main)
