"""A corpus as the first pass finds it: its files, documents and splits. Imports no torch."""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from transformer.data.record import identity_of
from transformer.data.sources.settings import Reading
from transformer.data.text.documents import Split, split_of
from transformer.data.text.settings import TextSettings
from transformer.data.token_files.index import kept_survey
from transformer.data.token_files.listing import Listing
from transformer.data.token_files.survey import FileFacts, survey_file
from transformer.data.token_files.workers import in_parallel
from transformer.system.cache import cache_folder


@dataclass(frozen=True)
class Surveyed:
    """All files of a corpus, with what the first pass has found in each."""

    listing: Listing
    facts: list[FileFacts]

    @cached_property
    def keys(self) -> NDArray[np.uint64]:
        return np.concatenate([facts.keys for facts in self.facts])

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        return np.concatenate([facts.lengths for facts in self.facts])

    @cached_property
    def document_parts(self) -> NDArray[np.int64]:
        numbers = [part for part, _ in self.listing.every_file]
        return np.repeat(numbers, [len(facts.keys) for facts in self.facts])

    @property
    def sha256(self) -> str:
        whole = [facts.text_digest for facts in self.facts if len(facts.keys)]
        if len(self.keys) == 1:
            return whole[0]
        files = zip(self.listing.every_file, self.facts, strict=True)
        found = [(part, bytes.fromhex(one.digest)) for (part, _), one in files if one.digest]
        return identity_of(found)

    @property
    def num_own(self) -> int:
        """Documents of `val_path`, which come last."""
        if not self.listing.has_own_validation:
            return 0
        return int((self.document_parts == len(self.listing.parts) - 1).sum())

    def split(self, settings: TextSettings) -> Split:
        return split_of(
            self.keys, self.lengths, self.document_parts, settings, num_own=self.num_own
        )


def survey(listing: Listing, reading: Reading, cache_dir: str | None) -> Surveyed:
    """Reads every file once; what was found is kept in the cache folder while no file changes."""
    folder = cache_folder(cache_dir) / "surveys"
    question = json.dumps(listing.question(reading))

    def make() -> list[FileFacts]:
        found = list(in_parallel(survey_file, listing.units, listing.sizes, (reading,), "reading"))
        listing.check_unchanged()
        return found

    facts = kept_survey(folder, hashlib.sha256(question.encode()).hexdigest()[:32], make)
    return Surveyed(listing, facts)
