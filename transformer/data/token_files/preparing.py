"""Makes the token files of a corpus, or finds them, and opens them. Imports no torch."""

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from typing import Any

import numpy as np

from transformer.data.sources.cleaning import Cleaning
from transformer.data.sources.faults import Faults
from transformer.data.sources.reading import shown
from transformer.data.sources.settings import Reading, in_words, listed
from transformer.data.text.collection import MOST_FILES, ending_of, split_key
from transformer.data.text.corpus import Corpus, mix_of
from transformer.data.text.documents import (
    TRAIN,
    VAL,
    Split,
    last_documents,
    note_of_left_out,
)
from transformer.data.text.settings import TextSettings
from transformer.data.token_files.counting import with_cleaning
from transformer.data.token_files.encoding import (
    Batch,
    Job,
    encode_batch,
    texts_of,
)
from transformer.data.token_files.index import SAMPLED_CHARACTERS, TokenFiles, writing
from transformer.data.token_files.joining import Joining
from transformer.data.token_files.listing import VERSION, Listing
from transformer.data.token_files.surveyed import Surveyed, survey
from transformer.data.token_files.units import Unit
from transformer.data.token_files.workers import in_parallel
from transformer.data.tokenizer_choice import TokenizerChoice
from transformer.data.tokenizers.base import TextSize, Tokenizer
from transformer.data.tokenizers.bpe_training import spread
from transformer.system.cache import cache_folder, locked
from transformer.system.errors import UserError

_PARTS = "parts-"
BATCH_BYTES = 4_000_000
_SAMPLE_OF_UNIT = 1_000_000  # characters


def open_corpus(
    data_path: Any, settings: TextSettings, choice: TokenizerChoice, *, build: bool
) -> Corpus:
    """The corpus, from token files; they are made first if they are missing.

    Raises: UserError for what cannot be read, and for a disk that is full.
    """
    found, reading, cleaning, faults = surveyed(data_path, settings, choice, build=build)
    split = found.split(settings)
    separator = settings.separator if len(found.keys) > 1 else ""
    tokenizer = _tokenizer(found, split, choice, reading, separator)
    files = _find_or_make(found, split, tokenizer, separator, settings, reading, choice.cache_dir)
    note = note_of_left_out(split, found.keys, settings, num_own=found.num_own)
    note += (cleaning.note if cleaning else "") + faults.note
    return _corpus(found, tokenizer, files, settings, note)


def surveyed(
    data_path: Any, settings: TextSettings, choice: TokenizerChoice, *, build: bool
) -> tuple[Surveyed, Reading, Cleaning | None, Faults]:
    """The first passes over a corpus, or what is kept of them; how its texts are read after them.

    Raises: UserError for what cannot be read, and for a part without text.
    """
    reading = settings.reading(any_bytes=choice.reads_any_file)
    listing = Listing.of(data_path, settings, reading, build=build)
    reading, cleaning = with_cleaning(reading, listing, settings, choice.cache_dir)
    found = survey(listing, reading, choice.cache_dir)
    faults = Faults(settings.skip_bad_files)
    for one in found.facts:
        faults.add(one.faults)
    faults.report()
    counts = np.bincount(found.document_parts, minlength=len(listing.parts))
    if not counts.all():
        empty = [*listed(data_path), settings.val_path][int(np.argmin(counts))]
        raise UserError(f"{in_words(empty)}: has no text{faults.note}: give files with text")
    return found, reading, cleaning, faults


def _tokenizer(
    found: Surveyed, split: Split, choice: TokenizerChoice, reading: Reading, separator: str
) -> Tokenizer:
    """Learned from a sample of the training split; of characters, from all that occur."""
    symbols = {symbol for facts in found.facts for symbol in facts.characters} | set(separator)
    if (given := choice.given_for("".join(symbols))) is not None:
        return given
    if choice.learns:
        sample = _sample(found, split, reading)
        return choice.make(sample, len(sample))
    return choice.make("".join(sorted(symbols)), len(symbols))


def _sample(found: Surveyed, split: Split, reading: Reading) -> str:
    """Training text of units that are spread over the corpus."""
    jobs = jobs_of(found, split)
    parts: list[str] = []
    left = SAMPLED_CHARACTERS
    for number in spread(len(jobs)):
        left_of_unit = _SAMPLE_OF_UNIT
        for one in texts_of(jobs[number], reading):
            if one.split == TRAIN:
                parts.append(one.text[:left_of_unit])
                left_of_unit -= len(parts[-1])
            if left_of_unit <= 0:
                break
        left -= _SAMPLE_OF_UNIT - left_of_unit
        if left <= 0:
            break
    return "\n".join(parts)


def jobs_of(found: Surveyed, split: Split) -> list[Job]:
    last = last_documents(split, len(found.keys))
    jobs: list[Job] = []
    document = 0
    for units, facts in zip(found.listing.units, found.facts, strict=True):
        if not len(facts.keys):
            continue
        offset = 0
        for unit, ended, length in zip(
            units, facts.unit_documents, facts.unit_lengths, strict=True
        ):
            own = split.part(document, ended + 1)  # the last one may go on behind the unit
            numbers = tuple(number - document for number in last)
            jobs.append(Job(unit, facts.ends, own, offset, numbers, length))
            offset = 0 if ended else offset + length
            document += ended
    return jobs


def _batches(jobs: Sequence[Job]) -> tuple[list[Batch], list[int]]:
    """Small files are encoded together: to make a file takes longer than to encode a short text.

    Also gives the bytes of each batch.
    """
    batches: list[Batch] = []
    sizes: list[int] = []
    for job in jobs:
        size = _size(job.unit)
        if batches and sizes[-1] + size <= BATCH_BYTES:
            before = batches[-1].jobs
            if before[0].unit.part == job.unit.part:
                before.append(job)
                sizes[-1] += size
                continue
        batches.append(Batch(len(batches), [job]))
        sizes.append(size)
    return batches, sizes


def _find_or_make(
    found: Surveyed,
    split: Split,
    tokenizer: Tokenizer,
    separator: str,
    settings: TextSettings,
    reading: Reading,
    cache_dir: str | None,
) -> TokenFiles:
    state = json.dumps(tokenizer.state, sort_keys=True)
    question = [VERSION, found.sha256, state, separator, *split_key(settings)]
    key = hashlib.sha256(json.dumps(question).encode()).hexdigest()[:32]
    folder = cache_folder(cache_dir) / "tokens" / key
    with writing(folder), locked(folder, f"{folder}: another process prepares this corpus"):
        files = TokenFiles.found(folder)
        if files is not None:
            return files
        # The same text may be in other files now, which are cut in another way.
        cut = hashlib.sha256(json.dumps(found.listing.question(reading)).encode()).hexdigest()
        parts = folder / f"{_PARTS}{cut[:16]}"
        parts.mkdir(parents=True, exist_ok=True)
        batches, sizes = _batches(jobs_of(found, split))
        shared = (parts, state, ending_of(tokenizer, separator), reading)
        with Joining.of(parts, len(batches)) as joining:
            left = slice(len(joining.infos), None)
            for info in in_parallel(encode_batch, batches[left], sizes[left], shared, "preparing"):
                joining.add(info)
            facts = joining.finish(len(found.listing.parts))
        files = TokenFiles.written(folder, joining.path, tokenizer.vocab_size, facts)
        for old in folder.glob(f"{_PARTS}*"):
            shutil.rmtree(old, ignore_errors=True)
        return files


def _size(unit: Unit) -> int:
    end = os.path.getsize(unit.file) if unit.end is None else unit.end
    return end - unit.start


def _corpus(
    found: Surveyed,
    tokenizer: Tokenizer,
    files: TokenFiles,
    settings: TextSettings,
    left_out: str,
) -> Corpus:
    by_split = [sum(lengths) for lengths in files.lengths]
    number = len(found.keys)
    return Corpus(
        files.tokens,
        tokenizer,
        by_split[TRAIN],
        _facts(found, files, settings),
        found.facts[0].beginning,
        f", {number:,} document{'s' * (number != 1)}, in token files{left_out}",
        by_split[-1],
        mix_of(settings.data_weights, files.lengths[TRAIN]),
        val_size=_val_size(tokenizer, files, by_split[TRAIN]),
    )


def _facts(found: Surveyed, files: TokenFiles, settings: TextSettings) -> dict[str, Any]:
    """What a model's file holds about the corpus."""
    facts: dict[str, Any] = {"sha256": found.sha256, "num_tokens": len(files.tokens)}
    facts["num_characters"] = int(sum(facts.lengths.sum() for facts in found.facts))
    if len(found.keys) > 1 or settings.val_path is not None or settings.changes_documents:
        facts["num_documents"] = len(found.keys)
        if len(found.facts) <= MOST_FILES:
            names = [shown(file) for _, file in found.listing.every_file]
            digests = (facts.digest[:12] for facts in found.facts)
            facts["files"] = dict(zip(names, digests, strict=True))
    else:
        facts["num_train_characters"] = files.characters[TRAIN]
        if settings.test_fraction:
            facts["num_val_characters"] = files.characters[VAL]
    return facts


def _val_size(tokenizer: Tokenizer, files: TokenFiles, num_train: int) -> TextSize:
    """Of the validation split without its first token, which no score predicts."""
    first = tokenizer.size(files.tokens[num_train : num_train + 1])
    characters = files.characters[VAL]
    if tokenizer.units == "characters":  # the separators are scored, too
        characters = sum(files.lengths[VAL])
    num_bytes = files.text_bytes[VAL] + characters - files.characters[VAL]
    return TextSize(characters - (first.num_characters or 0), num_bytes - first.num_bytes)
