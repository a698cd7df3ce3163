"""Quick versions of the benchmarks that kill runs, fill disks and spoil files."""

import pytest
from hypothesis import strategies as st

from tests.marks import last_long

pytestmark = pytest.mark.slow


def test_no_hostile_file_gets_further_than_one_line(load_benchmark, tmp_path, monkeypatch):
    monkeypatch.setenv("PL_GLOBAL_SEED", "0")  # Lightning sets it; this takes it back
    told, faults = load_benchmark("hostile_files").try_all(60, tmp_path)
    assert faults == []
    assert sum(words.total() for words in told.values()) == 60 + 15  # a quarter are snapshots
    assert sum(words["refused"] for words in told.values()) > 40


def test_drawn_configs_and_pairs_are_taken_or_refused(load_benchmark, tmp_path):
    fuzz, path = load_benchmark("fuzz"), tmp_path / "file"
    told = fuzz.run(60, st.tuples(st.just(path), fuzz.NEAR_YAML), fuzz.try_config)
    assert set(told) == {"taken", "refused"}
    units = st.just(("characters", "words"))
    drawn = st.tuples(st.just(path), fuzz.NEAR_PAIRS, units, st.just(True))
    assert set(fuzz.run(60, drawn, fuzz.try_pairs)) == {"taken", "refused"}
    assert set(fuzz.run(60, st.tuples(fuzz.STATES), fuzz.try_state)) == {"taken", "refused"}


@pytest.mark.slow(seconds=40)
@pytest.mark.parametrize(
    ("kind", "count"),
    last_long(
        [("killed", 1), ("asked to end", 1), ("killed", 3), ("asked to end", 3)], 2, several=True
    ),
)
def test_killed_and_interrupted_runs_end_as_if_nothing_had_been(load_benchmark, kind, count):
    told = load_benchmark("crash_test").counted(kind, count, processes=1, seed=1)
    assert told["identical"] == told["trials"] == count


def test_no_hostile_folder_gets_further_than_one_line(load_benchmark, tmp_path):
    told, faults = load_benchmark("hostile_folders").try_all(200, tmp_path)
    assert faults == []
    assert sum(words.total() for words in told.values()) == 200
    assert sum(words["refused"] for words in told.values()) > 100
