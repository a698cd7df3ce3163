"""explain.py as a user meets it: a page or a picture beside one line, whatever the text."""

import json
import re

import matplotlib.image
import pytest

import explain
from tests.marks import first_fast
from transformer.data.tokenizers.characters import CharacterTokenizer
from transformer.data.tokenizers.pairs import PairTokenizer, UnitTokenizer
from transformer.generation.text import load
from transformer.generation.translation import Translator
from transformer.inspection import attention_figures, attention_picture
from transformer.inspection.attention_picture import tick_labels
from transformer.inspection.explanation import explain_text, explain_translation
from transformer.inspection.prompt import cut_off
from transformer.models import build_model
from transformer.storage.model_file import load_model, save_model
from transformer.system.errors import UserError

PROMPT = "To die, to sleep"  # 16 characters, the model's block_size


@pytest.fixture(scope="module")
def model_path(finished):
    return finished.folder / "model.safetensors"


@pytest.fixture
def pairs_path(tmp_path):
    """An encoder-decoder that was never trained."""
    tokenizer = PairTokenizer(
        UnitTokenizer("characters", [*"abcdef"]), UnitTokenizer("words", ["K", "AE1", "$x"])
    )
    sizes = {"block_size": 7, "embedding_dim": 6, "num_heads": 3, "num_blocks": 2}
    return saved(tmp_path / "pairs.safetensors", "encoder_decoder", tokenizer, **sizes)


def saved(path, kind, tokenizer, **sizes):
    import torch

    torch.manual_seed(0)
    model = build_model(kind, **tokenizer.sizes, **sizes)
    save_model(path, model, {"tokenizer": tokenizer.state, "architecture": model.architecture})
    return path


@pytest.fixture
def explained(model_path, tmp_path, monkeypatch, capsys):
    """explain.py in this process and in tmp_path: gives the page's data, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*flags, path=model_path):
        assert explain.main([str(path), *map(str, flags)]) == 0
        page = (tmp_path / "explain.html").read_text(encoding="utf-8")
        (data,) = re.findall(r'id="data">(.*?)</script>', page)
        return json.loads(data), *capsys.readouterr()

    return call


@pytest.mark.slow
def test_the_newest_runs_best_model_is_explained_in_one_file(run, finished, tmp_path):
    flags = ["--runs_dir", finished.home / "runs", "--prompt", PROMPT, "--out", "deep/er/a.html"]
    result = run("explain.py", *flags, cwd=tmp_path, python=("-W", "error"))
    assert (result.returncode, result.stderr) == (0, "")
    assert re.fullmatch(r"deep/er/a.html: 16 characters, [\d.]+ bits of .*\n", result.stdout)
    (page,) = (path for path in tmp_path.rglob("*") if path.is_file())
    assert "model.safetensors" in page.read_text(encoding="utf-8")


def test_256_characters_of_4_blocks_with_4_heads_are_under_2_mb_and_name_no_server(
    explained, tmp_path
):
    text = "the quick brown fox jumps over a lazy dog\n" * 7
    sizes = {"block_size": 256, "embedding_dim": 32, "num_heads": 4, "num_blocks": 4}
    path = saved(tmp_path / "m.safetensors", "gpt", CharacterTokenizer.from_text(text), **sizes)
    (tmp_path / "fox.txt").write_text(text, encoding="utf-8")
    *_, err = explained("--prompt_file", "fox.txt", path=path)
    assert "294 characters, but the model reads 256: the last 256 are shown" in err
    page = (tmp_path / "explain.html").read_text(encoding="utf-8")
    assert len(page.encode()) < 2_000_000
    assert "http://" not in page
    assert "https://" not in page


def test_the_page_has_the_explanation_of_the_prompt(explained, model_path):
    data, out, err = explained("--prompt", PROMPT)
    model = load_model(model_path)
    expected = explain_text(model.model, model.tokenizer, PROMPT)
    assert data["units"] == [*PROMPT]
    assert data["surprises"][1:] == [round(unit.surprise, 4) for unit in expected.units[1:]]
    assert data["num_written"] == 0
    assert f"{expected.mean_surprise:.4f} bits" in out
    assert err == ""


def test_what_the_model_goes_on_with_is_explained_too(explained, model_path):
    data, *_ = explained("--prompt", "To ", "--max_new_tokens", 9, "--seed", 3)
    (text,) = load(model_path, "cpu", "float32").generate(
        "To ", max_new_tokens=9, temperature=0.8, seed=3
    )
    assert "".join(data["units"]) == text
    assert data["num_written"] == 9


def test_of_more_than_block_size_the_end_is_explained_and_that_is_said(explained):
    data, _, err = explained("--prompt", PROMPT, "--max_new_tokens", 5)
    assert "21 characters, but the model reads 16: the last 16 are shown" in err
    assert len(data["units"]) == 16
    assert data["num_written"] == 5
    data, *_ = explained("--max_new_tokens", 40)
    assert data["num_written"] == 16


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ((5, 16, 16), ""),
        ((40, 40, 16), "40 characters, but the model reads 16: the last 16 are shown"),
        (
            (6, 206, 128),
            "are shown, and nothing of the prompt; --max_new_tokens 122 or fewer shows",
        ),
        ((20, 140, 128), "are shown, with the last 8 of the prompt's 20; --max_new_tokens 108 or"),
        ((16, 21, 16), "the last 16 are shown, with the last 11 of the prompt's 16"),
    ],
)
def test_a_prompt_that_is_not_shown_is_said_to_be_hidden(sizes, said):
    text = cut_off(*sizes, "characters")
    assert (said in text) if said else not text


def test_the_page_says_so_too(explained):
    data, _, err = explained("--prompt", "To ", "--max_new_tokens", 40)
    assert data["cut"] in err
    assert "nothing of the prompt; --max_new_tokens 13 or fewer" in data["cut"]
    assert explained("--prompt", PROMPT)[0]["cut"] == ""


def test_what_was_never_seen_is_dropped_if_asked(explained):
    data, _, err = explained("--prompt", "Tö→ be", "--skip_unknown")
    assert "2 unknown characters of the prompt dropped" in err
    assert "".join(data["units"]) == "T be"


def test_a_pair_is_its_source_and_its_greedy_target(explained, pairs_path, tmp_path):
    (tmp_path / "word.txt").write_text("cab\n", encoding="utf-8")
    data, out, _ = explained("--prompt_file", "word.txt", path=pairs_path)
    model = load_model(pairs_path)
    expected = explain_translation(Translator(model.model, model.tokenizer), "cab")
    assert data["source"] == ["c", "a", "b"]
    assert data["units"] == expected.rows
    assert f"{len(expected.units)} units" in out


@pytest.mark.parametrize(
    ("flags", "match"),
    [
        (["--prompt", "T"], "nothing is predicted in .*--max_new_tokens 100"),
        (["--prompt", "é", "--skip_unknown"], "fewer than two characters"),
        (["--prompt", "To bé"], "LATIN SMALL LETTER E WITH ACUTE.*--skip_unknown"),
        (["--prompt", f"é{PROMPT}"], "LATIN SMALL LETTER E WITH ACUTE"),  # in what is cut off
    ],
)
def test_a_prompt_that_cannot_be_explained_is_refused_and_nothing_written(
    explained, tmp_path, flags, match
):
    with pytest.raises(UserError, match=match):
        explained(*flags)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("flags", "match"),
    [
        (["--prompt", "cab", "--seed", "1"], "--seed does not apply to a model of pairs"),
        (["--max_new_tokens", "9"], "--max_new_tokens does not apply"),
        (["--prompt", "abcabcabc"], "9 characters, but the model reads at most 7"),
        (["--prompt", "cow"], "never saw 2 of the characters"),
    ],
)
def test_a_source_that_cannot_be_explained_is_refused(explained, pairs_path, flags, match):
    with pytest.raises(UserError, match=match):
        explained(*flags, path=pairs_path)


@pytest.mark.parametrize("out", first_fast(["a.PNG", "a.png"]))
def test_a_picture_has_a_map_for_each_block_and_head(
    pairs_path, tmp_path, monkeypatch, capsys, out
):
    figures, draw = [], attention_figures.as_image

    def as_image(figure):
        figures.append(figure)
        return draw(figure)

    monkeypatch.setattr(attention_picture, "as_image", as_image)
    monkeypatch.chdir(tmp_path)
    assert explain.main([str(pairs_path), "--prompt", "cab", "--out", out]) == 0
    assert matplotlib.image.imread(tmp_path / out, format="png").std() > 0
    (figure,) = figures
    assert len(figure.axes) == 2 * 3
    labels = [tick.get_text() for tick in figure.axes[0].get_xticklabels()]
    assert labels == ["c", "a", "b"]


def test_a_picture_is_a_whole_png(model_path, tmp_path, capsys):
    path = tmp_path / "a.png"
    assert explain.main([str(model_path), "--prompt", "To be\n", "--out", str(path)]) == 0
    height, width, _ = matplotlib.image.imread(path).shape
    assert width > height > 100  # two heads side by side
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("flags", [(), ("--live",)])
def test_a_place_where_nothing_can_be_written_is_named_before_the_model_is_read(
    tmp_path, monkeypatch, flags
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.html").mkdir()
    (tmp_path / "model.safetensors").write_text("no model", encoding="utf-8")
    given = ["model.safetensors", "--prompt", "To", *flags]
    with pytest.raises(UserError, match=r"^folder\.html is a folder: --out must be a file; give "):
        explain.main([*given, "--out", "folder.html"])
    inside = "model.safetensors/a.html"
    with pytest.raises(
        UserError, match=rf"^{inside}: .* is a file, not a folder: give another --o"
    ):
        explain.main([*given, "--out", inside])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.html", "model.safetensors"]


def test_labels_are_units_where_there_is_room_and_numbers_where_there_is_not():
    assert tick_labels([*"a \nb"], 4) == ["a", "␣", "↵", "b"]
    labels = tick_labels([*"abcdefghijklm"], 12)
    assert [*filter(None, labels)] == ["5", "10"]
    assert labels[4] == "5"


def test_a_bigram_has_no_picture(tmp_path):
    path = saved(tmp_path / "b.safetensors", "bigram", CharacterTokenizer("abc"), block_size=7)
    with pytest.raises(UserError, match=r"no attention to draw: give an --out that ends in \.html"):
        explain.main([str(path), "--prompt", "cab", "--out", str(tmp_path / "b.png")])
