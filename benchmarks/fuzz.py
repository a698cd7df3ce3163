"""Checks that no input makes the config loader, a tokenizer or the reader of pairs crash.

`python benchmarks/fuzz.py` lets hypothesis draw 10,000 inputs: bytes and near-YAML for configs,
states and texts for tokenizers, bytes and near-TSV for files of pairs. Each must be accepted, or
refused with the documented exception. Anything else is a fault, and hypothesis prints the smallest
input that causes it. The counts go to fuzz.json.
"""

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from record import save

from transformer.config.files import load_config
from transformer.config.keys import Config
from transformer.data.pairs.reading import read_pairs
from transformer.data.pairs.settings import PairSettings
from transformer.data.tokenizers.characters import CharacterTokenizer
from transformer.data.tokenizers.registry import tokenizer_from_state
from transformer.system.errors import UserError

NINE_KEYS = (
    "batch_size: 256\nepochs: 2\nlr: 3e-4\ndata_path:  './data/input.txt'\nblock_size: 256\n"
    "num_heads: 8\nembedding_dim: 512\nnum_blocks: 6\nnum_workers: 12\n"
)
KEYS = st.sampled_from(sorted(Config.model_fields))
ODD_VALUES = "true null ~ .inf .nan 1e3 0x1f [] {} &a *a !!int !!python/name:os.system | > - ?"
VALUES = (
    st.integers().map(str)
    | st.floats().map(str)
    | st.text(max_size=12)
    | st.sampled_from(ODD_VALUES.split(" "))
)
LINES = st.builds("{}: {}\n".format, KEYS | st.text(max_size=8), VALUES)
NEAR_YAML = st.lists(LINES, max_size=8).map(lambda lines: (NINE_KEYS + "".join(lines)).encode())
UNITS = st.sampled_from(("characters", "words"))
SIDES = st.sampled_from(["a", "b c", "ab", " d ", "\u2028", "😀", "a" * 9]) | st.text(max_size=3)
PAIR_LINES = st.builds("{}\t{}{}".format, SIDES, SIDES, st.sampled_from(["\n", "\r\n"]))
NEAR_PAIRS = st.lists(PAIR_LINES | SIDES, max_size=9).map(lambda lines: "".join(lines).encode())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
VOCABULARIES = st.text(max_size=9).map(lambda text: "".join(sorted(set(text))))
STATES = (
    st.fixed_dictionaries({"kind": st.just("character"), "vocabulary": VOCABULARIES})
    | JSON
    | st.fixed_dictionaries(
        {"kind": st.sampled_from(("character", "pairs")) | JSON},
        optional=dict.fromkeys(("vocabulary", "source", "target", "source_units"), JSON),
    )
)


def refusal(error: UserError) -> str:
    if "\n" in str(error):
        raise RuntimeError("more than one line") from error
    return "refused"


def try_config(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    try:
        load_config(path)
    except UserError as error:
        return refusal(error)
    return "taken"


def try_state(state: Any) -> str:
    try:
        tokenizer_from_state(state)
    except ValueError:
        return "refused"
    return "taken"


def try_text(known: str, text: str) -> str:
    if not known:
        return "empty"
    tokenizer = CharacterTokenizer.from_text(known)
    assert tokenizer.decode(tokenizer.encode(known)) == known
    ids, num_dropped = tokenizer.encode_known(text)
    assert len(ids) + num_dropped == len(text)
    try:
        assert tokenizer.decode(tokenizer.encode(text)) == text
    except UserError:
        assert num_dropped
        return "refused"
    return "taken"


def try_pairs(path: Path, data: bytes, units: tuple[str, str], skip_bad_lines: bool) -> str:
    path.write_bytes(data)
    kinds = {"source_units": units[0], "target_units": units[1]}
    try:
        pairs = read_pairs(path, PairSettings(block_size=9, skip_bad_lines=skip_bad_lines, **kinds))
    except UserError as error:
        return refusal(error)
    for source, target in zip(pairs.sources, pairs.targets, strict=True):
        assert source
        assert target
    return "taken"


def run(count: int, inputs: st.SearchStrategy, attempt: Callable[..., str]) -> Counter:
    """Counts how many inputs were accepted and refused. Raises: any undocumented exception."""
    told: Counter = Counter()
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large]

    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=checks,
        phases=(Phase.generate, Phase.shrink),
    )
    @given(inputs)
    def try_all(drawn: tuple[Any, ...]) -> None:
        told[attempt(*drawn)] += 1

    try_all()
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    count = parser.parse_args().count // 4
    with tempfile.TemporaryDirectory() as folder:
        config, pairs = Path(folder, "config.yaml"), Path(folder, "pairs.tsv")
        data = st.binary(max_size=80)
        told = {
            "configs": run(count, st.tuples(st.just(config), data | NEAR_YAML), try_config),
            "tokenizer states": run(count, st.tuples(STATES), try_state),
            "texts": run(count, st.tuples(st.text(), st.text()), try_text),
            "files of pairs": run(
                count,
                st.tuples(
                    st.just(pairs), data | NEAR_PAIRS, st.tuples(UNITS, UNITS), st.booleans()
                ),
                try_pairs,
            ),
        }
    figures = {
        "tried": sum(words.total() for words in told.values()),
        "unclean": 0,  # an unclean failure ends this script with its traceback
        "outcomes": {name: dict(words) for name, words in told.items()},
    }
    print(json.dumps(figures, indent=2))
    print(save("fuzz", figures))


if __name__ == "__main__":
    main()
