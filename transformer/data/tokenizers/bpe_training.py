"""Learns byte pairs from a text with the library `tokenizers`. Imports no torch."""

import json
import math
import os
from collections.abc import Iterator
from typing import Any

from transformer.data.tokenizers.hugging_face import WORDS
from transformer.data.tokenizers.splitting import units
from transformer.data.tokenizers.utf8 import as_bytes, as_text
from transformer.system.progress import progress

# The sizes that `vocab_size: auto` takes: about one piece for so many bytes of training text, as
# the nearest power of two. With 4.3 MB, 1,024 pieces were better than 2,048 and 4,096 in runs of
# five minutes (`benchmarks/tokenizer_runs.py`); no other length was tried.
BYTES_PER_PIECE = 4_000
LEAST, MOST = 512, 32_768

# Of a longer text, so many characters are read, in parts that are spread over it.
SAMPLE = 16_000_000
PART = 16_384
# The library needs about 100 bytes of memory for each byte of a word that it has not seen before,
# so in scripts without spaces a smaller sample is taken: so many bytes of distinct words.
DISTINCT = 5_000_000
_GOLDEN = 0.618034  # the fractions of its multiples are spread evenly


def vocab_size_for(num_bytes: int) -> int:
    """What `vocab_size: auto` is for a training split of so many bytes."""
    pieces = max(LEAST, min(MOST, num_bytes / BYTES_PER_PIECE))
    return 2 ** round(math.log2(pieces))


def spread(count: int) -> list[int]:
    """The numbers below `count`, in an order of which every beginning is spread evenly."""
    return sorted(range(count), key=lambda number: number * _GOLDEN % 1)


def sample(text: str) -> Iterator[str]:
    """Parts of a text, spread over it, until they are SAMPLE characters or DISTINCT bytes."""
    starts = range(0, len(text), PART)
    seen: set[str] = set()
    num_read = num_distinct = 0
    for number in spread(len(starts)):
        part = text[starts[number] : starts[number] + PART]
        part = part if part.isascii() else as_text(as_bytes(part))
        yield part
        new = set(units(part)) - seen
        seen |= new
        num_read += len(part)
        num_distinct += len(as_bytes("".join(new)))
        if num_read >= SAMPLE or num_distinct >= DISTINCT:
            return


def _watched(parts: Iterator[str], bar: Any) -> Iterator[str]:
    for part in parts:
        yield part
        bar.update(len(part))


def learned(text: str, vocab_size: int, min_frequency: int, end_of_text: str) -> dict[str, Any]:
    """The content of a `tokenizer.json` with at most `vocab_size` pieces."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False, trim_offsets=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        special_tokens=[end_of_text],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    with progress("learning pieces", min(len(text), SAMPLE), " characters") as bar:
        tokenizer.train_from_iterator(_watched(sample(text), bar), trainer)
    return json.loads(tokenizer.to_str())
