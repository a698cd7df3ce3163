"""prepare.py finds each of ten faults in its file and line, and nothing in clean plays."""

import json

import pytest

import prepare
from tests.inspection.corpus.faults import FAULTS, plays, seeded, write
from transformer.data.built_in.registry import build_source


def findings(path, capsys, *flags):
    assert prepare.main([str(path), "--plan", "false", "--json", *flags]) == 0
    return {one["kind"]: one for one in json.loads(capsys.readouterr().out)["findings"]}


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", FAULTS)
def test_a_seeded_fault_is_found_in_its_file_and_line(tmp_path, capsys, name, seed):
    place = seeded(tmp_path, name, seed)
    found = findings(tmp_path, capsys)
    named = " ".join(found[place.kind]["places"])
    # A language is told from some words, so that the place may be a few lines off.
    near = range(4) if place.kind == "several languages" else (0,)
    lines = {f"{place.file}, line {place.line + off * sign:,}" for off in near for sign in (1, -1)}
    assert any(line in named for line in lines)
    # The fault may also bring rare symbols; nothing else is wrong.
    assert found.keys() - {place.kind, "rare symbols"} == set()


def test_of_clean_plays_only_rare_symbols_are_told(tmp_path, capsys):
    write(tmp_path, plays())
    assert findings(tmp_path, capsys).keys() <= {"rare symbols"}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["input.txt", "shakespeare.txt"])
def test_of_the_built_in_plays_only_rare_symbols_are_told(tmp_path, capsys, name):
    path = tmp_path / "data" / name
    path.parent.mkdir()
    build_source(path)
    found = findings(path, capsys)
    assert found.keys() <= {"rare symbols"}
    text = path.read_text(encoding="utf-8")
    assert found["rare symbols"]["number"] == sum(text.count(symbol) < 10 for symbol in set(text))
