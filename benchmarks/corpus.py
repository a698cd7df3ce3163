"""How a corpus larger than memory is prepared and trained on: `python benchmarks/corpus.py`

[--gigabytes 8] [--kills 20] [--only preparing,memory,training,starts,kills,resumes]

The corpus is 2,000 files, made from the plays by a seeded shuffle of their lines. Each part prints
its figures and writes them to corpus.json:

- preparing: megabytes a second of the first 400 MB, for each tokenizer; medians of three.
- memory: the whole corpus is prepared for pieces and trained on, with a limit of 2 GB where a group
  of processes can be limited (Linux, as root). Memory is that of all processes of the run together,
  without the pages of files, which the system may drop; a run on one small text stands beside it.
- training: tokens a second from token files, over those of the same corpus in memory, in turn.
- starts: the whole process of `train.py --max_steps 1`, with the prepared corpus and with a small
  text, in turn.
- kills: preparing is killed at random moments; the files that come of it in the end are compared.
- resumes: training on token files is killed at random moments; the resumed runs are compared.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from process_memory import limited_group, measured
from record import DEFAULT_CONFIG, RESULTS, ROOT, processor, save

from transformer.data.built_in.registry import build_source

NUM_FILES = 2_000
NUM_MIXED = 25  # shuffles that are made; the files are made of their parts
LIMIT = 2_000_000_000  # bytes
TIMED_MB = 400
REPEATS = 3
TOKENIZERS = {"characters": (), "bytes": (), "bpe": ("--vocab_size", "4096")}
PREPARE = """
import json, resource, sys, time
from transformer.data.reading import read_text_corpus
from transformer.data.text.settings import TextSettings
from transformer.data.tokenizer_choice import TokenizerChoice
if __name__ == "__main__":
    path, tokenizer, cache = sys.argv[1:]
    size = 4096 if tokenizer == "bpe" else "auto"
    choice = TokenizerChoice(tokenizer=tokenizer, vocab_size=size, cache_dir=cache)
    settings = TextSettings(block_size=128, tokenizer=tokenizer, token_files_from_mb=0.0)
    started_at = time.perf_counter()
    corpus = read_text_corpus(path, settings, choice, build=False)
    print(json.dumps({"seconds": time.perf_counter() - started_at, "tokens": len(corpus.tokens)}))
"""


def make_corpus(folder: Path, gigabytes: float) -> Path:
    """Files of equal size; the same again for the same size."""
    plays = ROOT / "data" / "shakespeare.txt"
    build_source(plays)
    lines = plays.read_text(encoding="utf-8").splitlines(keepends=True)
    size = int(gigabytes * 1e9) // NUM_FILES
    folder.mkdir(parents=True)
    for number in range(NUM_FILES):
        if number % (NUM_FILES // NUM_MIXED) == 0:
            random.Random(number).shuffle(lines)
            mixed = "".join(lines)
        start = random.Random(-number).randrange(len(mixed))
        text = (mixed[start:] + mixed * (size // len(mixed) + 1))[:size]
        (folder / f"{number:04}.txt").write_text(text, encoding="utf-8")
    return folder


def prepare(home: Path, path: Path, tokenizer: str, cache: Path) -> subprocess.Popen[str]:
    script = home / "prepare_corpus.py"  # a file, so that its helping processes can be started
    script.write_text(PREPARE, encoding="utf-8")
    command = [sys.executable, str(script), str(path), tokenizer, str(cache)]
    return subprocess.Popen(
        command, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip


def train(home: Path, data_path: Path, *flags: Any) -> list[str]:
    where = ["--data_path", str(data_path), "--runs_dir", str(home / "runs")]
    cache = ["--cache_dir", str(home / "cache")]
    return [
        sys.executable,
        str(ROOT / "train.py"),
        *DEFAULT_CONFIG,
        *where,
        *cache,
        *map(str, flags),
    ]


def preparing(home: Path, corpus: Path) -> dict[str, Any]:
    part = home / "part"
    part.mkdir()
    size = 0
    for file in sorted(corpus.iterdir()):
        if size < TIMED_MB * 1e6:
            os.link(file, part / file.name)
            size += file.stat().st_size
    figures: dict[str, Any] = {}
    for tokenizer in TOKENIZERS:
        cache = home / f"cache-{tokenizer}"
        speeds = []
        for _ in range(REPEATS):
            out, _ = prepare(home, part, tokenizer, cache).communicate()
            found = json.loads(out)
            speeds.append(size / 1e6 / found["seconds"])
            shutil.rmtree(cache)
        figures[tokenizer] = {"megabytes_per_second": median(speeds), "tokens": found["tokens"]}
    return {"megabytes": size / 1e6, **figures}


def in_memory_limit(home: Path, corpus: Path, small: Path) -> dict[str, Any]:
    flags = ("--tokenizer", "bpe", *TOKENIZERS["bpe"], "--max_steps", 20)
    alone = measured(train(home, small, *flags), None)
    with limited_group(LIMIT) as group:
        whole = measured(train(home, corpus, *flags), group)
    print(alone, whole, flush=True)
    size = sum(file.stat().st_size for file in corpus.iterdir())
    return {
        "corpus_gigabytes": size / 1e9,
        "limited": group is not None,
        "small text": alone,
        "whole corpus": whole,
        "gigabytes more": whole["gigabytes"] - alone["gigabytes"],
    }


def training(home: Path, small: Path, rounds: int = 7) -> dict[str, Any]:
    """Seconds of 40 steps; both sides in turn."""
    from whole_runs import StepClock, fit

    from transformer.config.files import load_config
    from transformer.data.reading import read_text_corpus
    from transformer.data.text.settings import TextSettings
    from transformer.data.tokenizer_choice import TokenizerChoice
    from transformer.system.terminal import quiet_libraries

    quiet_libraries()
    base = load_config(
        DEFAULT_CONFIG[1], {"data_path": str(small), "cache_dir": str(home / "cache")}
    )
    sides = {"memory": 64.0, "token files": 0.0}
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, least in sides.items():
            settings = TextSettings(block_size=base.block_size, token_files_from_mb=least)
            choice = TokenizerChoice(cache_dir=base.cache_dir)
            corpus = read_text_corpus(str(small), settings, choice, build=False)
            clock = StepClock()
            fit(base, corpus, 0, 40, clock)
            seconds[name].append(clock.seconds_per_step())
    middle = {name: median(times) for name, times in seconds.items()}
    return {
        "seconds_per_step": middle,
        "tokens per second, token files / memory": middle["memory"] / middle["token files"],
    }


def starts(home: Path, corpus: Path, small: Path, rounds: int = 5) -> dict[str, Any]:
    """Both are prepared: the corpus by the part `memory`, and both by a first round."""
    flags = ("--tokenizer", "bpe", *TOKENIZERS["bpe"], "--max_steps", 1)
    flags += ("--val_max_tokens", 20_000)  # or the large corpus would be scored for longer
    sides = {"small text": small, "whole corpus": corpus}
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name, path in sides.items():
            taken = measured(train(home, path, *flags), None)["seconds"]
            if number:
                seconds[name].append(taken)
    middle = {name: median(times) for name, times in seconds.items()}
    return middle | {"later": middle["whole corpus"] - middle["small text"]}


def kills(home: Path, corpus: Path, number: int) -> dict[str, Any]:
    part = home / "killed"
    part.mkdir()
    for file in sorted(corpus.iterdir())[:60]:
        os.link(file, part / file.name)
    started_at = time.perf_counter()
    prepare(home, part, "bpe", home / "whole").communicate()
    whole = time.perf_counter() - started_at
    chance = random.Random(0)
    for _ in range(number):
        process = prepare(home, part, "bpe", home / "often")
        time.sleep(chance.random() * whole / 2)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    prepare(home, part, "bpe", home / "often").communicate()
    digests = [
        {
            path.relative_to(cache).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in cache.rglob("tokens/*/*.*")
            if path.is_file()
        }
        for cache in (home / "whole", home / "often")
    ]
    return {"kills": number, "files": len(digests[0]), "the same": digests[0] == digests[1]}


def resumes(home: Path, number: int) -> dict[str, Any]:
    """Runs on token files that are killed while they train, and resumed: see crash_test.py."""
    import crash_test

    crash_test.FLAGS.update({"token_files_from_mb": 0.0, "cache_dir": str(home / "cache")})
    return crash_test.counted("killed", number, processes=2, seed=0)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--gigabytes", type=float, default=8)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--only", default="preparing,memory,training,starts,kills,resumes")
    parser.add_argument("--home", help="an empty folder for the corpus; by default a temporary one")
    arguments = parser.parse_args()
    path = RESULTS / processor() / "corpus.json"
    figures = json.loads(path.read_text(encoding="utf-8"))["figures"] if path.exists() else {}
    with tempfile.TemporaryDirectory(dir=arguments.home) as folder:
        home = Path(folder)
        corpus = make_corpus(home / "corpus", arguments.gigabytes)
        small = home / "small.txt"
        shutil.copy(ROOT / "data" / "shakespeare.txt", small)
        parts = {
            "preparing": lambda: preparing(home, corpus),
            "memory": lambda: in_memory_limit(home, corpus, small),
            "training": lambda: training(home, small),
            "starts": lambda: starts(home, corpus, small),
            "kills": lambda: kills(home, corpus, arguments.kills),
            "resumes": lambda: resumes(home, arguments.kills),
        }
        for name in arguments.only.split(","):
            figures[name] = parts[name]()
            print(name, json.dumps(figures[name], indent=2), flush=True)
            save("corpus", figures)


if __name__ == "__main__":
    main()
