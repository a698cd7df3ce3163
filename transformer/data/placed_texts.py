"""The texts of a corpus by split, each with its file and line, as training reads them. No torch."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

from transformer.data.reading import is_large
from transformer.data.sources.cleaning import Cleaning
from transformer.data.sources.faults import Faults
from transformer.data.sources.settings import Reading
from transformer.data.text.collection import Collection
from transformer.data.text.documents import Split
from transformer.data.text.settings import TextSettings
from transformer.data.token_files.encoding import texts_of
from transformer.data.token_files.preparing import jobs_of, surveyed
from transformer.data.token_files.survey import line_ends
from transformer.data.token_files.surveyed import Surveyed
from transformer.data.token_files.units import Unit, segments, units_of
from transformer.data.tokenizer_choice import TokenizerChoice
from transformer.data.tokenizers.bpe_training import spread

_IN_MEMORY_MB = TextSettings.token_files_from_mb


class PlacedText(NamedTuple):
    """A text, and where it stands. `continues`: the text before it is of the same document."""

    text: str
    file: str = ""
    record: str = ""  # within the file, such as `line 3`
    line: int = 1  # in which the text begins, of the file or of the record's text
    continues: bool = False


@dataclass(frozen=True)
class PlacedTexts(ABC):
    """A corpus. Lines are counted in the texts as they are read, after their cleaning."""

    split: Split
    reading: Reading  # without the cleaning
    cleaning: Cleaning | None

    @property
    @abstractmethod
    def sha256(self) -> str: ...

    @property
    @abstractmethod
    def num_characters(self) -> int:
        """Of all splits."""

    @abstractmethod
    def texts(self, split: int) -> Iterator[PlacedText]: ...

    @abstractmethod
    def sample(self, split: int, most: int) -> list[str]:
        """At most so many characters of a split, the same each time; of documents, spread ones."""

    @abstractmethod
    def _units(self, file: str) -> list[Unit]:
        """In which a file was read; the places of its records are counted in them."""

    def line_in_file(self, file: str, record: str, line: int) -> int:
        """Counts the lines that the cleaning left out, too."""
        if self.cleaning is None or not len(self.cleaning.lines):
            return line
        if (file, record) not in self._known_lines:
            self._known_lines.clear()  # they may be many
            self._known_lines[file, record] = self._kept_lines(file, record, self.cleaning)
        return self._known_lines[file, record][line - 1]

    @cached_property
    def _known_lines(self) -> dict[tuple[str, str], list[int]]:
        return {}

    def _kept_lines(self, file: str, record: str, cleaning: Cleaning) -> list[int]:
        """The numbers of a document's lines that the cleaning kept, and of the one after them."""
        numbers: list[int] = []
        units = self._units(file)
        ends, num_lines = line_ends(units, self.reading), 0
        for unit in units:
            for segment in segments(unit, self.reading, Faults(skip=True), ends):
                if segment.record == record:
                    *lines, _ = segment.text.split("\n")  # the last one goes on in what follows
                    kept = enumerate(cleaning.keeps(lines), start=num_lines + 1)
                    numbers += [number for number, is_kept in kept if is_kept]
                    num_lines += len(lines)
        return [*numbers, num_lines + 1]


@dataclass(frozen=True)
class TextsInMemory(PlacedTexts):
    collection: Collection

    @property
    def sha256(self) -> str:
        return self.collection.sha256

    @property
    def num_characters(self) -> int:
        return sum(map(len, self.collection.texts))

    def texts(self, split: int) -> Iterator[PlacedText]:
        for number in range(len(self.collection.documents)):
            yield from self._of_document(number, split)

    def sample(self, split: int, most: int) -> list[str]:
        numbers = spread(len(self.collection.documents))
        return _at_most((one for n in numbers for one in self._of_document(n, split)), most)

    def _units(self, file: str) -> list[Unit]:
        return [Unit(file, 0)]

    def _of_document(self, number: int, split: int) -> Iterator[PlacedText]:
        text, file, record = self.collection.documents[number]
        for piece in self.split.pieces(number):
            if piece.split == split:
                line = 1 + text.count("\n", 0, piece.start)
                yield PlacedText(text[piece.start : piece.end], file, record, line)


@dataclass(frozen=True)
class TextsInFiles(PlacedTexts):
    """Of a corpus that is too large for memory: the files are read again, a part at a time."""

    found: Surveyed

    @property
    def sha256(self) -> str:
        return self.found.sha256

    @property
    def num_characters(self) -> int:
        return int(self.found.lengths.sum())

    def texts(self, split: int) -> Iterator[PlacedText]:
        jobs = jobs_of(self.found, self.split)
        return self._of_jobs(jobs, split)

    def sample(self, split: int, most: int) -> list[str]:
        jobs = jobs_of(self.found, self.split)
        order = [jobs[n] for n in spread(len(jobs)) if jobs[n].may_have(split)]
        return _at_most(self._of_jobs(order, split), most)

    def _units(self, file: str) -> list[Unit]:
        return units_of(file, 0, self.reading)

    def _of_jobs(self, jobs: list[Any], split: int) -> Iterator[PlacedText]:
        line, ended = 1, None
        reading = replace(self.reading, cleaning=self.cleaning)
        for job in jobs:
            for one in texts_of(job, reading):
                line = line if one.start else 1
                if one.split == split:
                    continues = bool(one.start) and ended == (job.unit.file, one.start)
                    yield PlacedText(one.text, job.unit.file, one.record, line, continues)
                    ended = job.unit.file, one.start + len(one.text)
                line += one.text.count("\n")


def _at_most(texts: Iterator[PlacedText], most: int) -> list[str]:
    """What continues a text is joined with it."""
    found: list[str] = []
    left = most
    for one in texts:
        text = one.text[:left]
        left -= len(text)
        if one.continues and found:
            found[-1] += text
        else:
            found.append(text)
        if not left:
            break
    return found


def placed_texts(data_path: Any, settings: TextSettings, choice: TokenizerChoice) -> PlacedTexts:
    """Nothing is built. Raises: UserError for what cannot be read or has no text."""
    reading = settings.reading(any_bytes=choice.reads_any_file)
    most = min(settings.token_files_from_mb, _IN_MEMORY_MB)
    if not is_large(data_path, replace(settings, token_files_from_mb=most), build=False):
        collection = Collection.read(data_path, settings, choice, build=False)
        split = collection.split(settings)
        return TextsInMemory(split, reading, collection.cleaning, collection)
    found, _, cleaning, _ = surveyed(data_path, settings, choice, build=False)
    return TextsInFiles(found.split(settings), reading, cleaning, found)
