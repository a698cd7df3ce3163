"""export.py --to html: one file that holds the model, and that Node runs again to compare."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.conftest import draw_weights
from tests.pages.node import needs_node
from transformer.data.tokenizers.bpe import BpeTokenizer
from transformer.data.tokenizers.pairs import PairTokenizer, PieceTokenizer, UnitTokenizer
from transformer.export.formats.html import Html
from transformer.export.html.reloaded import ReloadedPage
from transformer.export.options import ExportOptions
from transformer.models import build_model
from transformer.pages.live.packing import NUMBER_FORMATS
from transformer.pages.live.page import size_of
from transformer.storage.int8_rows import quantized
from transformer.storage.metadata import distinct_tensors
from transformer.storage.saved_model import SavedModel
from transformer.storage.snapshots import write_snapshot
from transformer.system.errors import UserError


@pytest.fixture
def export_page(exported, monkeypatch):
    """Exports as if Node were not installed, which takes a second; gives the page's text."""
    monkeypatch.setattr(Html, "version", lambda self: None)

    def call(saved, name="page.html", **flags):
        path, lines = exported(saved, name, "html", **flags)
        assert "not compared: node" in lines[1]
        return path.read_text(encoding="utf-8")

    return call


@pytest.fixture
def of_run(make_saved, tmp_path):
    """A model in the folder of a run that has kept snapshots."""

    def make(num_snapshots=5, **changes):
        run = tmp_path / "run"
        (run / "snapshots").mkdir(parents=True)
        (run / "config.yaml").touch()
        saved = replace(make_saved(**changes), path=run / "model.safetensors")
        weights = quantized(distinct_tensors(saved.model.state_dict()))
        for number in range(num_snapshots):
            write_snapshot(run, 10 * number, 4.0 / (number + 1), weights)
        return saved

    return make


def test_the_number_formats_are_those_that_a_page_can_hold():
    assert Html.number_formats == NUMBER_FORMATS


def data_of(page):
    return json.loads(re.search(r'id="model">(.*?)</script>', page)[1])


@needs_node
@pytest.mark.parametrize("number_format", ["int8", "float32"])
@pytest.mark.parametrize("tokenizer", ["characters", "bytes", "bpe"])
def test_node_computes_what_python_computes(make_saved, exported, number_format, tokenizer):
    saved = make_saved(tokenizer=tokenizer)
    path, (first, second) = exported(saved, "page.html", "html", format=number_format)
    assert first.startswith(f"{path}: a page of 0.")
    assert f"runs a gpt with {sum(p.numel() for p in saved.model.parameters()):,}" in first
    assert first.endswith(f"in {number_format}")
    assert re.search(r"loaded again by node \d+.*: logits at 37 .*hostile strings$", second)


@needs_node
@pytest.mark.parametrize("units", ["characters", "words", "pieces"])
def test_node_translates_as_python_does(make_encoder_decoder, exported, units):
    sides = {
        "characters": lambda: UnitTokenizer("characters", [*"abcdé漢🙂"]),
        "words": lambda: UnitTokenizer("words", ["to", "be", "漢", "</script>", "🙂"]),
        "pieces": lambda: PieceTokenizer(BpeTokenizer.from_text("to be\n" * 9, vocab_size=260)),
    }
    tokenizer = PairTokenizer(sides[units](), sides[units]())
    shape = make_encoder_decoder().architecture | tokenizer.sizes
    model = build_model(**shape).float().eval()
    draw_weights(model)
    saved = SavedModel(Path("m"), model, tokenizer, model.architecture, {}, {}, {})
    _, (first, second) = exported(saved, "page.html", "html")
    assert "runs an encoder_decoder with" in first
    assert re.search(r"node \d+.*: the best targets of 5 sources are the same, greedily", second)


@needs_node
def test_a_bigram_model_writes_in_a_page_too(make_saved, exported):
    _, (first, second) = exported(make_saved(model="bigram"), "page.html", "html")
    assert "runs a bigram with" in first
    assert "greedy tokens are the same" in second


@needs_node
def test_what_node_computes_otherwise_is_not_written(make_saved, exported, monkeypatch, tmp_path):
    old = ReloadedPage.logits
    monkeypatch.setattr(ReloadedPage, "logits", lambda self, ids: old(self, ids) * 1.01)
    with pytest.raises(UserError, match=r"node .* something else.*logits differ by"):
        exported(make_saved(), "page.html", "html")
    assert list(tmp_path.iterdir()) == []


@needs_node
def test_a_page_that_its_engine_refuses_is_not_written(make_saved, exported, monkeypatch, tmp_path):
    monkeypatch.setattr("transformer.pages.live.page.as_json", lambda about: '{"facts":1}')
    with pytest.raises(UserError, match=r"node .* something else.*it fails: "):
        exported(make_saved(), "page.html", "html")
    assert list(tmp_path.iterdir()) == []


def test_two_exports_are_the_same_bytes_and_tell_no_path_or_date(make_saved, export_page):
    saved = make_saved()
    page = export_page(saved)
    assert export_page(saved, "again.html") == page
    assert "/home" not in page
    assert "someone" not in page
    assert data_of(page)["facts"]["corpus"] == "book.txt"
    assert data_of(page)["facts"]["prompt"] == "To "


def test_nothing_in_a_page_asks_the_network_or_ends_an_element(make_saved, export_page):
    hostile = "</script><script>alert(1)</script><!--\"'\u2028\u202e🙂"
    saved = make_saved()
    config = saved.config | {"sample_prompt": "", "data_path": f"/a/{hostile}.txt"}
    page = export_page(replace(saved, config=config | {"run_name": hostile}))
    assert "alert(1)</script>" not in page
    assert data_of(page)["name"] == hostile
    assert data_of(page)["facts"]["corpus"] == hostile.rpartition("/")[2] + ".txt"
    assert not re.search(r"(src|href)=\"(?!data:|#)", page)


@pytest.mark.parametrize("tie_weights", [False, True])
def test_the_file_is_within_its_size_and_a_tied_matrix_is_in_it_once(
    make_saved, export_page, tie_weights
):
    saved = make_saved(tie_weights=tie_weights)
    tensors = data_of(export_page(saved))["tensors"]
    assert [row["name"] for row in tensors].count("lm_head.weight") == (not tie_weights)
    for number_format, width in (("int8", 1), ("float32", 4)):
        page = export_page(saved, force=True, format=number_format)
        numbers = sum(width * p.numel() for p in saved.model.parameters())
        assert 4 / 3 * numbers < len(page.encode()) <= 4 / 3 * numbers + 150_000
        assert len(page.encode()) <= size_of(saved, number_format)


def test_a_large_page_is_refused_with_its_size_before_it_is_written(
    make_saved, export_page, monkeypatch, tmp_path
):
    monkeypatch.setattr("transformer.pages.live.page.MOST_BYTES", 200_000)
    saved = make_saved()
    with pytest.raises(UserError, match=r"about 0 MB.*give `format=int8` or `force=True`"):
        export_page(saved, format="float32")
    assert list(tmp_path.iterdir()) == []
    assert export_page(saved, format="float32", force=True)


def test_snapshots_are_chosen_by_loss_with_the_first_and_the_last(of_run, export_page):
    saved = of_run(5)
    found = data_of(export_page(saved, snapshots=3))["snapshots"]
    assert [row["step"] for row in found] == [0, 10, 40]
    assert [row["loss"] for row in found] == [4.0, 2.0, 0.8]
    assert data_of(export_page(saved, "none.html"))["snapshots"] == []


@pytest.mark.parametrize(
    ("num_kept", "words"),
    [
        (0, "run: has no snapshots: train with `snapshots=3`"),
        (1, "has 1 of the 3 .*: leave"),
        (2, "has 2 of the 3 .*: give 2 or"),
    ],
)
def test_snapshots_that_the_run_has_not_are_an_error(of_run, export_page, num_kept, words):
    with pytest.raises(UserError, match=words):
        export_page(of_run(num_kept), snapshots=3)


def test_numbers_that_are_not_finite_are_refused_by_name(make_saved, export_page):
    saved = make_saved()
    with torch.no_grad():
        saved.model.blocks[0].attention.qkv.weight[3, 5] = torch.nan
    with pytest.raises(UserError, match=r"0.attention.qkv.weight holds .* not finite, so no"):
        export_page(saved)


def test_one_snapshot_is_refused_since_it_has_no_first_and_last():
    with pytest.raises(ValueError, match="--snapshots: 1 has no first and last"):
        ExportOptions(to="html", out="page.html", snapshots=1)


def test_snapshots_of_an_encoder_decoder_are_refused_since_its_page_shows_none(
    make_encoder_decoder, of_run, export_page
):
    side = UnitTokenizer("characters", [*"abcdefghij"])
    tokenizer = PairTokenizer(side, side)
    model = build_model(**make_encoder_decoder().architecture | tokenizer.sizes)
    pair = replace(of_run(3), model=model, architecture=model.architecture, tokenizer=tokenizer)
    with pytest.raises(UserError, match=r"encoder_decoder's page .* leave out `snapshots`"):
        export_page(pair, snapshots=2)
