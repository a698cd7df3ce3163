"""Of a large corpus a part is held, the same each time, with places in the whole files."""

import json

import pytest

from transformer.data.text.settings import TextSettings
from transformer.inspection.corpus.portion import read_portion
from transformer.inspection.corpus.report import look_at

SETTINGS = TextSettings(block_size=1)
MOST = 300_000


@pytest.fixture
def numbered(tmp_path):
    """Each line of these files is its own number."""
    for name in "abcd":
        text = "".join(f"line {number:06}\n" for number in range(1, 40_001))
        (tmp_path / f"{name}.txt").write_text(text, encoding="utf-8")
    records = (json.dumps({"text": f"record {number}"}) for number in range(1, 10_001))
    (tmp_path / "e.jsonl").write_text("\n".join(records), encoding="utf-8")
    return tmp_path


def test_a_part_is_held_and_lines_are_counted_in_the_whole_file(numbered):
    portion = read_portion(str(numbered), SETTINGS, MOST)
    assert not portion.is_whole
    assert 0.5 * MOST < portion.lengths.sum() <= MOST
    assert portion.num_bytes == sum(path.stat().st_size for path in numbered.iterdir())
    texts = [sample for sample in portion.samples if sample.file.endswith(".txt")]
    assert {sample.file[-5] for sample in texts} == set("abcd")
    assert any(sample.start > 0 for sample in texts)
    for sample in texts:
        place = sample.text.index("\n", len(sample.text) // 2) + 1
        number = int(sample.text[place + 5 : place + 11])
        assert sample.at(place).endswith(f"{sample.file[-5:]}, line {number:,}")


def test_the_same_part_is_looked_at_each_time(numbered):
    first, second = (read_portion(str(numbered), SETTINGS, MOST).samples for _ in range(2))
    assert first == second


def test_all_of_a_small_corpus_is_looked_at(numbered):
    portion = read_portion(str(numbered), SETTINGS, 10_000_000)
    assert portion.is_whole
    assert portion.num_documents == 4 + 10_000


def test_the_report_says_that_it_is_of_a_part_and_compares_no_splits(numbered):
    report = look_at(str(numbered), SETTINGS, MOST)
    assert "only a part was looked at" in report.text
    assert report.facts["documents"] is None  # of records, they are not known
    assert "text in both splits" not in {finding.kind for finding in report.findings}


def test_of_many_files_some_are_looked_at_in_longer_windows(tmp_path):
    for number in range(100):
        (tmp_path / f"{number}.txt").write_text(f"{number} a b c\n" * 20_000, encoding="utf-8")
    portion = read_portion(str(tmp_path), SETTINGS, 1_000_000)
    assert 10 < len(portion.samples) < 25
    assert portion.num_documents == 100


def test_a_window_cuts_no_character_where_there_are_no_lines(tmp_path):
    (tmp_path / "a.txt").write_text("漢字かな交じり文" * 20_000, encoding="utf-8")
    for most in (10_001, 10_002, 10_003):
        portion = read_portion(str(tmp_path / "a.txt"), SETTINGS, most)
        assert portion.samples[0].misfits is None
        assert set(portion.symbols) == set("漢字かな交じり文")
