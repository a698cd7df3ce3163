"""How fast are tokenizers: learning pieces from a long text, and encoding by bytes and by pieces.

python benchmarks/tokenizer_speed.py --data_path data/shakespeare.txt [--megabytes 100]

The text is the file over and over. In each copy, the letters of every third line are shifted, so
that many words are new: otherwise each word would be looked up, and none learned. Encoding is timed
three times, and its median counts; `repeated` is the file over and over as it is.
"""

import argparse
import resource
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from record import save

from transformer.data.tokenizers.bpe import BpeTokenizer
from transformer.data.tokenizers.bytes import ByteTokenizer

VOCAB_SIZE = 4096
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def varied(text: str, megabytes: float) -> str:
    lines, made, length, copy = text.splitlines(keepends=True), [], 0, 0
    while length < megabytes * 1e6:
        shift = copy % len(LETTERS)
        table = str.maketrans(LETTERS, LETTERS[shift:] + LETTERS[:shift])
        part = "".join(
            line.translate(table) if number % 3 == 0 else line for number, line in enumerate(lines)
        )
        made.append(part)
        length, copy = length + len(part), copy + 1
    return "".join(made)[: int(megabytes * 1e6)]


def median_seconds(work: Callable[[], object]) -> list[float]:
    return [median(times) for times in zip(*(seconds(work) for _ in range(3)), strict=True)]


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """By the clock, and of processor time: on a busy machine, only the second tells something."""
    started_at, cpu_before = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - started_at, time.process_time() - cpu_before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data_path", required=True)
    parser.add_argument("--megabytes", type=float, default=100)
    arguments = parser.parse_args()
    once = Path(arguments.data_path).read_text(encoding="utf-8")
    text = varied(once, arguments.megabytes)
    repeated = (once * (len(text) // len(once) + 1))[: len(text)]
    size = len(text.encode("utf-8")) / 1e6
    made: list[BpeTokenizer] = []
    learning = seconds(lambda: made.append(BpeTokenizer.from_text(text, vocab_size=VOCAB_SIZE)))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    (pairs,) = made
    figures = {
        "megabytes": size,
        "vocab_size": pairs.vocab_size,
        "learning_seconds": learning[0],
        "learning_processor_seconds": learning[1],
        "peak_gigabytes_of_learning": peak,
    }
    work = {
        "bytes": lambda: ByteTokenizer().encode(text),
        "bpe": lambda: pairs.encode(text),
        "bpe_repeated": lambda: pairs.encode(repeated),
    }
    for name, encode in work.items():
        by_clock, of_processor = median_seconds(encode)
        figures[f"{name}_megabytes_per_second"] = size / by_clock
        figures[f"{name}_megabytes_per_processor_second"] = size / of_processor
    figures["bytes_per_piece"] = 1e6 * size / len(pairs.encode(text))
    for name, figure in figures.items():
        print(f"{name}: {figure:,.4g}")
    save("tokenizer_speed", figures)


if __name__ == "__main__":
    main()
