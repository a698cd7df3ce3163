"""Files in another encoding, or in two, and files that cannot be read. Imports no torch."""

from collections.abc import Iterator, Sequence

from transformer.inspection.corpus.findings import NAMED, Finding
from transformer.inspection.corpus.portion import Portion
from transformer.inspection.corpus.sample import HIGH, Sample


def misfits(portion: Portion) -> Iterator[Finding]:
    """Bytes that are no UTF-8, in a file that is UTF-8 and in one that is not."""
    found = [sample for sample in portion.samples if sample.misfits is not None]
    mixed = [sample for sample in found if sample.misfits and not sample.misfits.encoding]
    if mixed:
        yield Finding(
            "mixed encodings", _number(mixed), f"bytes that are no UTF-8, in {_files(mixed)} that "
            "are UTF-8 otherwise", _places(mixed),
            "save these lines as UTF-8 in a copy of the file; --skip_bad_files true leaves out the "
            "whole file; --encoding would spoil its other lines",
        )  # fmt: skip
    others = [sample for sample in found if sample.misfits and sample.misfits.encoding]
    if others:
        assert others[0].misfits is not None  # as it was chosen
        encoding = others[0].misfits.encoding
        advice = f"train with --encoding {encoding}, which is the likeliest"
        if len(others) < len(portion.samples):
            advice = (
                f"save them as UTF-8 ({encoding} is the likeliest now); "
                "--skip_bad_files true leaves them out; --encoding would apply to all files"
            )
        what = f"bytes that are no UTF-8, in {_files(others)} in another encoding"
        yield Finding("other encoding", _number(others), what, _places(others), advice)


def _number(samples: Sequence[Sample]) -> int:
    return sum(sample.misfits.number for sample in samples if sample.misfits)


def _files(samples: Sequence[Sample]) -> str:
    number = len({sample.file for sample in samples})
    return f"{number:,} file{'s' * (number > 1)}"


def _places(samples: Sequence[Sample]) -> list[str]:
    places = [
        f"{sample.in_line(misfit.line)}: byte 0x{misfit.byte:02x}, "
        f"which is {HIGH[misfit.byte - 0x80]!r} in cp1252"
        for sample in samples[:NAMED]
        for misfit in (sample.misfits.first if sample.misfits else [])
    ]
    return places[:NAMED]


def unreadable(portion: Portion) -> Iterator[Finding]:
    faults = portion.faults
    number = len(faults.files) + faults.num_records
    if number:
        places = faults.files[:NAMED] + [faults.first_record] * bool(faults.num_records)
        yield Finding(
            "unreadable", number, "files and records that cannot be read", places,
            "repair them, or train with --skip_bad_files true, which leaves them out",
        )  # fmt: skip


CHECKS = (misfits, unreadable)
