"""All that is looked at in a corpus, and how it is told. Imports no torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from transformer.data.sources.faults import counted
from transformer.data.text.settings import TextSettings
from transformer.inspection.corpus import characters, copies, encodings, lines, pages, passages
from transformer.inspection.corpus.findings import Finding
from transformer.inspection.corpus.languages import (
    MISSING,
    Languages,
    languages_of,
    two_languages,
)
from transformer.inspection.corpus.portion import MOST_BYTES, Portion, read_portion
from transformer.system.progress import progress

CHECKS = tuple(
    check
    for part in (encodings, characters, lines, pages, copies, passages)
    for check in part.CHECKS
)


@dataclass(frozen=True)
class Report:
    portion: Portion
    findings: Sequence[Finding]
    languages: Languages | None

    @property
    def facts(self) -> dict[str, Any]:
        portion = self.portion
        return {
            "data_path": portion.name,
            "files": len(portion.files),
            "bytes": portion.num_bytes,
            "documents": portion.num_documents,
            "is_whole": portion.is_whole,
            "documents_seen": len(portion.samples),
            "characters": int(portion.lengths.sum()),
            "symbols": len(portion.symbols),
            "languages": self.languages.shares if self.languages else None,
            "findings": [finding._asdict() for finding in self.findings],
        }

    @property
    def head(self) -> str:
        """One line, and another one if only a part was looked at."""
        portion = self.portion
        size = f"{portion.num_bytes / 1e6:,.1f} MB in {counted(len(portion.files), 'file')}"
        seen = (
            f"{int(portion.lengths.sum()):,} characters, {len(portion.symbols):,} symbols, "
            f"{counted(len(portion.samples), 'document')}"
        )
        if portion.is_whole:
            return f"{portion.name}: {seen}, {size}{portion.faults.note}"
        number = portion.num_documents
        documents = "" if number is None else f", {counted(number, 'document')}"
        return (
            f"{portion.name}: {size}{documents}{portion.faults.note}\n"
            f"only a part was looked at, spread over the files: {seen}; so all numbers below are "
            "of this part, and whether text is in both splits is not known"
        )

    @property
    def language_line(self) -> str:
        if self.languages is None:
            return MISSING
        shares = (f"{name} {100 * share:.1f} %" for name, share in self.languages.shares.items())
        return f"languages: {', '.join(shares)}"

    @property
    def text(self) -> str:
        parts = [f"{self.head}\n{self.language_line}", *map(_paragraph, self.findings)]
        return "\n\n".join(parts if self.findings else [*parts, "nothing odd was found"])


def look_at(data_path: Any, settings: TextSettings, most_bytes: int = MOST_BYTES) -> Report:
    """Holds at most about `most_bytes` of text. Raises: UserError for a corpus without text."""
    portion = read_portion(data_path, settings, most_bytes)
    findings: list[Finding] = []
    with progress("looking", len(CHECKS), " checks") as bar:
        for check in CHECKS:
            findings += check(portion)
            bar.update()
    languages = languages_of(portion)
    return Report(portion, [*findings, *two_languages(languages)], languages)


def _paragraph(finding: Finding) -> str:
    places = "".join(f"\n  {place}" for place in finding.places)
    return f"{finding.kind} ({finding.number:,}): {finding.what}{places}\n  -> {finding.advice}"
