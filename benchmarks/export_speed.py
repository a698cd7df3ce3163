"""Measures tokens/s of one model in several programs: this one, and those that it is exported for.

`python benchmarks/export_speed.py` makes a GPT of 10.7 M parameters with random weights, which each
format holds, and exports it. Each program writes one text from one token on, at temperature 1, and
has as many threads. The sides take turns in several rounds, each in a process of its own: threads
that one program leaves waiting slow the others down. Medians go to export_speed.json. What is not
installed is left out. `ours` has the number format that generate.py chooses; q8_0 are weights of 8
bits; all others are float32.
"""

import argparse
import http.client
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import torch
from record import save

from transformer.data.tokenizers.characters import CharacterTokenizer
from transformer.export.options import ExportOptions
from transformer.export.registry import FORMATS
from transformer.generation import number_formats
from transformer.models.gpt import GPT
from transformer.storage.saved_model import SavedModel
from transformer.system.cores import available_cores
from transformer.system.packages import installed

SHAPE = {"num_blocks": 6, "num_heads": 6, "embedding_dim": 384, "block_size": 256}
CHARACTERS = "".join(map(chr, range(33, 98)))  # 65, as Shakespeare has
COUNT = 240
Generate = Callable[[int], int]  # how many tokens to write -> how many were written
Load = Callable[[Path, int], Generate]  # with a folder for its files, and a number of threads


def make_saved() -> SavedModel:
    torch.manual_seed(0)
    tokenizer = CharacterTokenizer(CHARACTERS)
    model = GPT(vocab_size=len(CHARACTERS), activation="gelu_tanh", **SHAPE).eval()
    facts: dict[str, Any] = {"config": {}, "corpus": {}, "results": {}}
    return SavedModel(Path("random"), model, tokenizer, model.architecture, **facts)


def exported(path: Path, **options: Any) -> Path:
    """Written, but not compared."""
    kind = FORMATS[options["to"]](ExportOptions(out=str(path), **options))
    with kind.place(path, force=False).writing() as temporary:
        kind.write(make_saved(), temporary)
    return path


def ours(precision: str) -> Load:
    def load(_: Path, __: int) -> Generate:
        model: Any = make_saved().model
        number_formats.prepare(model, "cpu", precision, num_rows=1)
        first = torch.zeros(1, 1, dtype=torch.long)
        return lambda count: model.generate(first, max_new_tokens=count).shape[1] - 1

    return load


def transformers(folder: Path, _: int) -> Generate:
    from transformer.export.hugging_face.reloaded import ReloadedFolder

    model = ReloadedFolder(exported(folder / "folder", to="huggingface")).model
    first = torch.zeros(1, 1, dtype=torch.long)
    given: dict[str, Any] = {"do_sample": True, "temperature": 1.0, "top_k": 0, "pad_token_id": 0}
    given |= {"attention_mask": torch.ones_like(first), "max_length": None}
    return lambda count: model.generate(first, max_new_tokens=count, **given).shape[1] - 1


def onnxruntime(folder: Path, num_threads: int) -> Generate:
    from transformer.export.onnx.session import Session

    session = Session(exported(folder / "model.onnx", to="onnx"), num_threads)
    random = np.random.default_rng(0)

    def generate(count: int) -> int:
        tokens, past = [0], session.empty_past(1)
        for _ in range(count):
            logits, past = session.step({"tokens": np.array([tokens[-1:]])}, past)
            shares = np.exp(logits[0, -1].astype(np.float64))
            tokens.append(int(random.choice(len(shares), p=shares / shares.sum())))
        return len(tokens) - 1

    return generate


def llama_cpp(number_format: str) -> Load:
    """Its server, within this process; one request for a whole text."""

    def load(folder: Path, num_threads: int) -> Generate:
        import xllamacpp

        path = exported(folder / f"{number_format}.gguf", to="gguf", format=number_format)
        given = xllamacpp.CommonParams()
        given.model.path = str(path)
        given.n_ctx, given.n_parallel, given.n_gpu_layers, given.verbosity = 0, 1, 0, -1
        given.cpuparams.n_threads = given.cpuparams_batch.n_threads = num_threads
        server = xllamacpp.Server(given)
        address = urlsplit(server.listening_address).netloc
        asked = {"prompt": [0], "temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0}
        asked |= {"ignore_eos": True, "cache_prompt": False}

        def generate(count: int) -> int:
            with closing(http.client.HTTPConnection(address)) as connection:  # it ends an idle one
                connection.request("POST", "/completion", json.dumps(asked | {"n_predict": count}))
                return json.load(connection.getresponse())["tokens_predicted"]

        generate.server = server  # type: ignore[attr-defined]  # it ends with its last name
        return generate

    return load


# What each side needs: a format, and the package that loads it.
SIDES: dict[str, tuple[str, str, Load]] = {
    "ours": ("", "torch", ours("auto")),
    "ours float32": ("", "torch", ours("float32")),
    "onnxruntime": ("onnx", "onnxruntime", onnxruntime),
    "llama.cpp f32": ("gguf", "xllamacpp", llama_cpp("f32")),
    "llama.cpp q8_0": ("gguf", "xllamacpp", llama_cpp("q8_0")),
    "transformers": ("huggingface", "transformers", transformers),
}


def available() -> list[str]:
    return [
        name
        for name, (kind, package, _) in SIDES.items()
        if kind in ("", *FORMATS) and installed(package)
    ]


def tokens_per_second(generate: Generate, count: int) -> float:
    started_at = time.perf_counter()
    made = generate(count)
    elapsed_seconds = time.perf_counter() - started_at
    assert made == count, f"{made} tokens in place of {count}"
    return count / elapsed_seconds


def work(name: str, num_threads: int, asked: Connection) -> None:
    """In the process of one side: answers each number of tokens with its tokens/s."""
    torch.set_num_threads(num_threads)
    with TemporaryDirectory() as folder:
        generate = SIDES[name][2](Path(folder), num_threads)
        while count := asked.recv():
            asked.send(tokens_per_second(generate, count))


@contextmanager
def in_a_process(name: str, num_threads: int) -> Iterator[Callable[[int], float]]:
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=work, args=(name, num_threads, theirs))
    process.start()
    theirs.close()  # so that a process that fails ends the wait for its answer

    def rate(count: int) -> float:
        ours.send(count)
        return ours.recv()

    yield rate
    ours.send(0)
    process.join()


def measure(names: list[str], rounds: int, num_threads: int, count: int = COUNT) -> dict[str, Any]:
    with ExitStack() as stack:
        sides: dict[str, Callable[[int], float]] = {}
        for name in names:
            sides[name] = stack.enter_context(in_a_process(name, num_threads))
            sides[name](8)  # loads and warms up, while no other side does
        rates: dict[str, list[float]] = {name: [] for name in names}
        for _ in range(rounds):
            for name, rate in sides.items():
                rates[name].append(rate(count))
    model = make_saved().model
    medians = {name: median(values) for name, values in rates.items()}
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "format of ours": number_formats.fastest_format("cpu", model.architecture, 1).name,
        "versions": {SIDES[name][1]: installed(SIDES[name][1]) for name in names},
        "threads": num_threads,
        "tokens": count,
        "tokens_per_second": medians,
        "rounds": rates,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=available())
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--num_threads", type=int, default=available_cores())
    arguments = parser.parse_args()
    figures = measure(arguments.sides, arguments.rounds, arguments.num_threads)
    print(json.dumps(figures["tokens_per_second"], indent=2), flush=True)
    print(save("export_speed", figures))


if __name__ == "__main__":
    main()
