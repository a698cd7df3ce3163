"""Lets a model write, and reports how much of its text is copied: `evaluate.py --copied`."""

from collections.abc import Sequence
from typing import Any

from tabulate import tabulate

from transformer.data.tokenizers.base import Tokenizer
from transformer.data.tokenizers.utf8 import printable
from transformer.decoding.sampling import Sampler
from transformer.decoding.settings import TEMPERATURE
from transformer.evaluation.copying.figures import find_figures, where
from transformer.evaluation.copying.training_text import find_training_text
from transformer.evaluation.options import EvaluateOptions
from transformer.generation.exact_text import exact_text
from transformer.generation.text import TextGenerator
from transformer.models.base import TokenModel
from transformer.storage.model_file import SavedModel
from transformer.system.devices import resolve_accelerator
from transformer.system.errors import UserError

_TEXTS_AT_ONCE = 10
_MOST_ROUNDS = 20  # for a model that ends its texts early
_LOOKED_AT_EVERY_STEPS = 50


def report_on_copying(saved: SavedModel, options: EvaluateOptions) -> dict[str, Any]:
    """Raises: UserError for a corpus that is missing, has changed or is too short."""
    least = options.min_copied
    source = find_training_text(saved, options.data_path)
    source.check_length(least)
    if options.num_characters < least:
        raise UserError(
            f"`num_characters={options.num_characters}` is less than `min_copied={least}`: "
            "give a larger number, or a smaller `min_copied`"
        )
    texts = _write(saved, options)
    figures = find_figures(source, texts, least)
    passages = [
        {"sample": number, **passage}
        for number in range(len(texts))
        for passage in figures.facts_of(number)
    ]
    held_out = figures.held_out
    return {
        "checkpoint": str(saved.path),
        "data_path": source.name,
        "comparison": source.comparison,
        "min_copied": least,
        "seed": options.seed,
        "temperature": TEMPERATURE,
        "written": figures.summary_of(figures.written) | {"passages": passages},
        "held_out": figures.summary_of(held_out) if held_out else None,
        "samples": list(map(printable, texts)),
    }


def _write(saved: SavedModel, options: EvaluateOptions) -> list[str]:
    """Texts of `num_characters` together, or less if the model ends each of them early."""
    assert isinstance(saved.model, TokenModel)
    assert isinstance(saved.tokenizer, Tokenizer)
    model = saved.model.to(resolve_accelerator(options.device))
    generator = TextGenerator(model, saved.tokenizer, saved)
    number = min(_TEXTS_AT_ONCE, max(1, options.num_characters // options.min_copied))
    length = -(-options.num_characters // number)
    texts: list[str] = []
    left = options.num_characters
    for seed in range(options.seed, options.seed + _MOST_ROUNDS):
        for text in _texts(generator, number, length, seed):
            texts += [text[:left]] if left else []
            left -= len(text[:left])
        if not left:
            break
    return texts


def _texts(generator: TextGenerator, number: int, length: int, seed: int) -> Sequence[str]:
    rows = generator.begin([""] * number)
    sampler = Sampler(seed=seed, temperature=TEMPERATURE)
    for step, _ in enumerate(generator.write(rows, max_new_tokens=None, sampler=sampler), start=1):
        if step % _LOOKED_AT_EVERY_STEPS == 0 and all(
            row.done or len(row.whole_text) >= length for row in rows
        ):
            break
    return [exact_text(row, generator.tokenizer)[:length] for row in rows]


def as_table(report: dict[str, Any]) -> str:
    rows = [_row("the model's text", report["written"])]
    if report["held_out"]:
        rows.append(_row("held-out text", report["held_out"]))
    headers = ("", "characters", "copied", "share", "longest", "where")
    align = ("left", "right", "right", "right", "right", "left")
    table = tabulate(rows, headers=headers, colalign=align, disable_numparse=True)
    least, longest = report["min_copied"], report["written"]["longest"]
    name, comparison = report["data_path"], report["comparison"]
    held_out = (
        "Held-out text, from the validation split, shows how often the author does so."
        if report["held_out"]
        else "There is no validation split to compare with."
    )
    lines = [
        f"{report['checkpoint']} on {name} (training split)",
        *([f"{name}: {comparison}"] if comparison else []),
        f"The model wrote {len(report['samples']):,} texts (temperature {report['temperature']}, "
        f"seed {report['seed']}). Characters are copied if they are in a passage of at least "
        f"{least:,} characters that is in the training split, letter for letter. {held_out}",
        "",
        table,
    ]
    lines += ["", f"the longest: {longest['text']!r}"] if longest else []
    return "\n".join(lines)


def _row(name: str, found: dict[str, Any]) -> tuple[str, ...]:
    longest = found["longest"]
    share = f"{100 * (found['share'] or 0):.2f} %"
    length = f"{longest['length']:,}" if longest else "-"
    return (
        name,
        f"{found['characters']:,}",
        f"{found['copied']:,}",
        share,
        length,
        where(longest) if longest else "",
    )
