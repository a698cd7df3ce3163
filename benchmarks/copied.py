"""Are all copies found in 100 MB, how fast and in what memory? `python benchmarks/copied.py`

[--megabytes 100]

The corpus is the plays over and over, each time with the letters of every third line shifted. A
text has one passage of its training split for each length from 30 to 300, with random letters
between them. It is looked up together with a million characters of the validation split, many of
whose lines are in the training split, so that there is much to find. Each process starts anew: the
first one reads the corpus twice, as its files are not known yet. The share of the plays' last tenth
that is in passages of the rest is the human baseline, for several lengths of a passage. Memory is
the peak of a process, and what that adds to its imports (Linux).
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from record import ROOT, save
from tokenizer_speed import varied

from transformer.data.built_in.registry import build_source
from transformer.data.placed_texts import PlacedText
from transformer.data.text.split import cuts_at
from transformer.evaluation.copying.figures import Copied
from transformer.evaluation.copying.search import find_copied

LENGTHS = range(30, 301)
BASELINES = (20, 25, 30, 40)  # characters of a passage
BORDER = "\u00a7"  # no passage goes on behind it: the plays do not have it
SEARCH = """
import json, resource, sys, time
from transformer.data.placed_texts import placed_texts
from transformer.data.text.settings import TextSettings
from transformer.data.tokenizer_choice import TokenizerChoice
from transformer.evaluation.copying.figures import find_figures
from transformer.evaluation.copying.training_text import TrainingText
def peak_megabytes():  # getrusage would give that of the parent process, if it is larger
    status = open("/proc/self/status").read()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024
if __name__ == "__main__":
    corpus, text, cache = sys.argv[1:]
    imported = peak_megabytes()
    before = resource.getrusage(resource.RUSAGE_SELF)
    started_at = time.perf_counter()
    choice = TokenizerChoice(cache_dir=cache)
    texts = placed_texts(corpus, TextSettings(block_size=128), choice)
    figures = find_figures(TrainingText(corpus, texts), [open(text, encoding="utf-8").read()], 30)
    elapsed = time.perf_counter() - started_at
    after = resource.getrusage(resource.RUSAGE_SELF)
    helpers = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = [one.ru_utime + one.ru_stime for one in (before, after, helpers)]
    print(json.dumps({
        "seconds": elapsed,
        "processor_seconds": used[1] - used[0] + used[2],
        "peak_megabytes": peak_megabytes(),
        "added_megabytes": peak_megabytes() - imported,
        "held_out": figures.summary_of(figures.held_out),
        "passages": figures.facts_of(0),
    }))
"""


def planted(train: str) -> tuple[str, list[tuple[int, int]]]:
    """A text, and the start and length of each copy in it."""
    chance = random.Random(0)
    parts, copies, at = [], [], 0
    for length in chance.sample(LENGTHS, len(LENGTHS)):
        filler = "".join(chance.choices("abcdefghij ", k=chance.randrange(5, 60)))
        start = chance.randrange(len(train) - length)
        parts += [filler, BORDER, train[start : start + length], BORDER]
        copies.append((at + len(filler) + 1, length))
        at += len(filler) + length + 2
    return "".join(parts), copies


def search(home: Path, corpus: Path, text: Path) -> dict[str, Any]:
    script = home / "search_corpus.py"  # a file, so that its helping processes can be started
    script.write_text(SEARCH, encoding="utf-8")
    command = [sys.executable, str(script), str(corpus), str(text), str(home / "cache")]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def judged(found: dict[str, Any], corpus: str, text: str, copies: list[Any]) -> dict[str, Any]:
    """The figures, with the copies that were found, and what was reported wrongly."""
    passages = found.pop("passages")
    known = {(one["start"], one["length"]) for one in passages}
    lines = corpus.split("\n")
    wrong = 0
    for one in passages:
        first, *_ = text[one["start"] : one["start"] + one["length"]].split("\n")
        wrong += first not in lines[one["line"] - 1]
    held_out = found.pop("held_out")
    return found | {
        "planted": len(copies),
        "found": len(known & set(copies)),
        "others": len(known - set(copies)),
        "wrong_lines": wrong,
        "held_out_characters": held_out["characters"],
        "held_out_share": held_out["share"],
    }


def repeated(text: str) -> dict[int, float]:
    """By the length of a passage: the share of the validation split that the training split has."""
    cut = cuts_at(len(text), 0.1).train
    held_out, sources = text[cut:], [PlacedText(text[:cut])]
    found = {least: find_copied([held_out], sources, least) for least in BASELINES}
    return {least: Copied([held_out], one).share or 0.0 for least, one in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=float, default=100)
    arguments = parser.parse_args()
    plays = ROOT / "data" / "shakespeare.txt"
    build_source(plays)
    once = plays.read_text(encoding="utf-8")
    corpus = varied(once, arguments.megabytes)
    text, copies = planted(corpus[: cuts_at(len(corpus), 0.1).train])
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "corpus.txt").write_text(corpus, encoding="utf-8")
        (home / "text.txt").write_text(text, encoding="utf-8")
        figures = {"megabytes": len(corpus.encode()) / 1e6, "repeated": repeated(once)}
        for name in ("first", "again"):
            found = search(home, home / "corpus.txt", home / "text.txt")
            figures[name] = judged(found, corpus, text, copies)
            print(name, figures[name], flush=True)
    save("copied", figures)


if __name__ == "__main__":
    main()
