"""Shows the texts of generate.py: token by token, as a list, or as JSON."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from transformer.data.tokenizers.base import Tokenizer
from transformer.decoding.sampling import Sampler
from transformer.generation.continuation import Continuation
from transformer.generation.marking import FindMarks, after_all, marked_texts
from transformer.generation.options import GenerateOptions
from transformer.generation.prompts import good_prompts
from transformer.generation.speed import Speed
from transformer.generation.text import TextGenerator
from transformer.system.terminal import say

Show = Callable[[str], None]
AsLine = Callable[[Continuation], dict[str, Any]]

SEPARATOR = "-" * 40


def write_texts(
    generator: TextGenerator,
    prompts: Sequence[str],
    options: GenerateOptions,
    seed: int,
    show: Show,
    *,
    as_json: bool,
    find: FindMarks | None = None,
) -> None:
    """Generates all samples of all prompts in one batch; Ctrl+C shows the texts so far.

    With `find`, what it finds is marked, when all texts are done.
    """
    prompts = good_prompts(generator, prompts, options)
    rows = generator.begin(
        [prompt for prompt in prompts for _ in range(options.num_samples)],
        options.stop,
        heal_prompt=options.heal_prompt,
    )
    assert generator.saved is not None
    say(f"{generator.saved.path}, seed {seed}")
    if options.verbose:
        say(f"precision: {generator.precision}")
    steps = generator.write(
        rows,
        max_new_tokens=options.max_new_tokens,
        sampler=Sampler(seed=seed, **asdict(options.sampling)),
        with_log_probabilities=as_json,
    )
    speed = Speed(rows, generator.model.block_size)
    try:
        as_line = partial(as_dict, seed=seed, tokenizer=generator.tokenizer) if as_json else None
        shower = show_rows if find is None else partial(show_marked, find)
        shower(rows, speed.timed(steps), show, as_line)
    finally:  # after the text and its line end
        if options.verbose and speed.times:
            say(str(speed))


def show_rows(
    rows: list[Continuation],
    steps: Iterator[None],
    show: Show,
    as_line: AsLine | None = None,
) -> None:
    """As texts, or with `as_line` as lines of JSON."""
    if len(rows) == 1 and not as_line:
        stream(rows[0], steps, show)
        return
    started = False
    try:
        for _ in steps:
            started = True
    finally:
        if started:
            _show_all(rows, show, as_line)


def _show_all(rows: Sequence[Continuation], show: Show, as_line: AsLine | None) -> None:
    if as_line:
        show("".join(f"{json.dumps(as_line(row))}\n" for row in rows))
    else:
        show(f"\n{SEPARATOR}\n".join(row.prompt + row.text for row in rows) + "\n")


def show_marked(
    find: FindMarks,
    rows: list[Continuation],
    steps: Iterator[None],
    show: Show,
    as_line: AsLine | None = None,
) -> None:
    """As `show_rows`, but with marks, and so not before all texts are done."""
    if not after_all(steps, partial(_show_all, rows, show, as_line)):
        return
    marks = find(rows)
    if as_line:
        both = zip(rows, marks.facts, strict=True)
        show("".join(f"{json.dumps(as_line(row) | {'copied': facts})}\n" for row, facts in both))
        say(f"copied: {marks.summary}")
        return
    texts, legend = marked_texts(rows, marks)
    show(f"\n{SEPARATOR}\n".join(texts) + "\n")
    say(legend)


def stream(row: Continuation, steps: Iterator[None], show: Show) -> None:
    """Shows the prompt and each new piece of text, then a line end; nothing without a token."""
    prompt = row.prompt
    try:
        for _ in steps:
            show(prompt + row.take())
            prompt = ""
    finally:
        if not prompt:
            show(f"{row.take(final=True)}\n")


def as_dict(row: Continuation, seed: int, tokenizer: Tokenizer) -> dict[str, Any]:
    """`tokens`, their offsets (characters), bytes (hexadecimal) and `log_probabilities` (nats, from
    the model alone) belong to `text`.
    """
    return {
        "prompt": row.prompt,
        "text": row.text,
        "tokens": row.tokens,
        "offsets": row.offsets,
        "bytes": [tokenizer.bytes_of(token).hex() for token in row.tokens],
        "log_probabilities": row.log_probabilities,
        "seed": seed,
    }
