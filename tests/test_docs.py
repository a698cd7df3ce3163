"""The pages of docs/: each is linked, its links lead somewhere, its figures are measured ones."""

import json
import re
from pathlib import Path

import pytest
from pydantic.fields import FieldInfo

from transformer.config.files import load_config
from transformer.config.keys import Config
from transformer.models import build_model
from transformer.storage.repeat_record import WITHOUT_EFFECT

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "amd-epyc-avx512-bf16"
DOCS = sorted((ROOT / "docs").glob("*.md"))
READMES = [ROOT / "README.md", *(ROOT / name / "README.md" for name in ("data", "benchmarks"))]
PAGES = [*READMES, ROOT / "CONTRIBUTING.md", *DOCS]
LINK = re.compile(r"\]\(([^)\s]+)\)")
each_page = pytest.mark.parametrize(
    "path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix()
)


def page(name: str) -> str:
    return (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")


def figures(name: str) -> dict:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))["figures"]


def anchors(text: str) -> set[str]:
    """Of the headings, as GitHub names them."""
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_readme_links_to_every_page():
    linked = set(LINK.findall((ROOT / "README.md").read_text(encoding="utf-8")))
    assert {f"docs/{path.name}" for path in DOCS} <= linked


def test_the_tables_of_busy_cores_are_those_of_their_files(load_benchmark):
    table, text = load_benchmark("busy_cores").table, page("results")
    for name in ("amd-epyc-avx2", "intel-xeon-avx512-bf16-amx"):
        path = RESULTS.parent / name / "busy_cores.json"
        content = json.loads(path.read_text(encoding="utf-8"))["figures"]
        assert table(content) in text
    alone, beside = content["chosen"].values()  # of the last one, with the present choices
    assert f"sleep after {alone} turns, or after {beside} if other programs use its cores" in text


def test_the_figures_of_an_adapter_are_those_of_their_file_and_within_their_bars():
    path = RESULTS.parent / "amd-epyc-avx2" / "lora.json"
    content = json.loads(path.read_text(encoding="utf-8"))["figures"]
    text = " ".join(page("start_from").split())
    large = next(row for row in content if row["kind"] == "gpt2" and not row["keys"])
    assert large["merged_difference"] <= 1e-10
    assert large["peak_gb"] <= 1.5
    assert large["adapter_mb"] <= 5
    assert f"takes {large['peak_gb']:.2f} GB at most" in text
    assert f"the adapter is {large['adapter_mb']:.1f} MB" in text
    best, lower = (
        next(row for row in content if row["kind"] == "comedies" and row["keys"] == {"lr": lr})
        for lr in (1e-2, 3e-3)
    )
    numbers = f"{best['num_trained_parameters']:,}"
    assert f"reaches {best['val_loss']:.3f} with an adapter of {numbers} numbers" in text
    assert f"With `lr` 0.003 it is {lower['val_loss']:.3f}" in text
    assert f"forgotten less: {lower['old_val_loss']:.3f}" in text


def test_the_figures_on_copies_are_those_of_their_file():
    path = RESULTS.parent / "amd-epyc-avx2" / "copied.json"
    content = json.loads(path.read_text(encoding="utf-8"))["figures"]
    (row,) = re.findall(r"^\| share of the text \| (.*) \|$", page("generation"), re.MULTILINE)
    shares = [float(cell.strip(" %")) for cell in row.split("|")]
    assert shares == [round(100 * share, 2) for share in content["repeated"].values()]
    for run in (content["first"], content["again"]):
        assert run["planted"] == run["found"] == 271
        assert run["others"] == run["wrong_lines"] == 0
        assert run["seconds"] <= 60
        assert f"{round(run['added_megabytes'], -1):.0f} MB beside" in page("generation")
    seconds = max(content[name]["processor_seconds"] for name in ("first", "again"))
    assert f"took {seconds:.0f} seconds" in page("generation")


def test_the_figures_on_minimal_pairs_are_those_of_their_file():
    path = RESULTS.parent / "amd-epyc-avx2" / "minimal_pairs.json"
    content = json.loads(path.read_text(encoding="utf-8"))["figures"]
    text = " ".join(page("evaluation").split())
    speed, comparison = content["speed"], content["comparison"]
    assert comparison["pairs"] == 1000
    assert comparison["equal_choices"] >= 999
    assert f"model of {comparison['parameters']:,} parameters prefers the same" in text
    assert f"in {comparison['equal_choices']:,} of 1,000 pairs" in text
    assert f"at most {comparison['largest_difference']:.5f}." in text
    assert f"model of {speed['parameters']:,} parameters scores the 67,000 pairs" in text
    assert f"in about {speed['seconds_of_all']:.0f} seconds on two cores" in text
    assert speed["seconds_of_all"] <= 180


TEXTS = {"plays": "all 38 plays", "tiny": "Tiny Shakespeare", "chinese": "reviews of books"}


@pytest.mark.parametrize("text", TEXTS)
def test_the_losses_by_tokenizer_are_the_means_of_their_runs(text):
    path = RESULTS.parent / "amd-epyc-avx2" / "tokenizer_runs.json"
    (row,) = re.findall(rf"^\| {TEXTS[text]}.*$", page("tokenizers"), re.MULTILINE)
    (head,) = re.findall(r"^\| text \|.*$", page("tokenizers"), re.MULTILINE)
    columns = {
        name.strip(): cell.strip(" *")
        for name, cell in zip(head.split("|"), row.split("|"), strict=True)
    }
    losses: dict[str, list[float]] = {}
    for run in json.loads(path.read_text(encoding="utf-8"))["figures"]:
        if run["text"] == text and run["keys"].keys() <= {"tokenizer", "vocab_size"}:
            size = run["keys"].get("vocab_size")
            name = f"{size:,} pieces" if size else run["keys"]["tokenizer"]
            losses.setdefault(name, []).append(run["val_bits_per_byte"])
    assert len(losses) >= 1 + (text == "plays")
    for name, values in losses.items():
        assert columns[name] == f"{sum(values) / len(values):.3f}"


@each_page
def test_every_link_inside_the_repository_leads_to_a_file_and_its_heading(path):
    for link in LINK.findall(path.read_text(encoding="utf-8")):
        if link.startswith(("https://", "http://")):
            continue
        name, _, anchor = link.partition("#")
        target = path.parent / name if name else path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text(encoding="utf-8")), link


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_a_page_begins_with_its_title_and_a_sentence_on_what_it_is_for(path):
    title, sentence, *_ = path.read_text(encoding="utf-8").rstrip().split("\n\n")
    assert re.fullmatch(r"# .+", title)
    assert re.fullmatch(r"[A-Z][^.]+(\.\w[^.]*)*\.", sentence), sentence


def default_of(field: FieldInfo) -> str:
    """As the table of keys writes it."""
    if field.is_required():
        return "required"
    names = {None: "none", True: "true", False: "false", "": "empty"}
    for value, name in names.items():
        if field.default is value or (value == "" == field.default):
            return name
    return field.default if isinstance(field.default, str) else f"{field.default:g}"


def test_the_table_of_keys_has_every_key_with_its_default():
    rows = re.findall(r"^\| `(\w+)` \| (\S+) \| ", page("config"), re.MULTILINE)
    assert rows == [(key, default_of(field)) for key, field in Config.model_fields.items()]


def test_the_page_on_resuming_names_the_flags_that_go_with_repeat():
    (sentence,) = re.findall(r"go with `--repeat`: (.*?)\.$", page("resuming"), re.M | re.DOTALL)
    assert sorted(re.findall(r"`--(\w+)`", sentence)) == sorted(WITHOUT_EFFECT)


def test_the_page_on_configs_shows_the_smallest_one_as_it_is():
    (shown,) = re.findall(r"^```yaml\n(.*?)^```$", page("config"), re.MULTILINE | re.DOTALL)
    assert (ROOT / "configs" / "nine-keys.yaml").read_text(encoding="utf-8").endswith(shown)


def test_the_tables_beside_hugging_face_are_those_of_the_results(load_benchmark):
    comparison = load_benchmark("comparison")
    for processor in comparison.TABLES:
        assert comparison.table(processor) in page("results")


def test_what_auto_takes_stands_beside_the_best_as_measured(load_benchmark):
    assert load_benchmark("comparison").auto_table() in page("results")


def test_the_figures_of_pairs_are_those_of_the_results(load_benchmark):
    g2p, pairs = load_benchmark("g2p"), page("pairs")
    assert g2p.table(figures("g2p")) in pairs
    assert g2p.curve_table(figures("g2p")) in pairs
    assert load_benchmark("comparison").pair_table() in pairs


def test_the_run_on_pairs_is_of_the_config_as_it_is():
    keys, run = load_config(ROOT / "configs" / "g2p.yaml"), figures("g2p")["run"]
    sizes = {"vocab_size": 72, "source_vocab_size": 32}  # of data/cmudict-single.tsv
    model = build_model(**keys.architecture(**sizes))
    assert sum(p.numel() for p in model.parameters()) == run["num_parameters"] <= 10_000_000
    assert f"{run['num_parameters'] / 1e6:.1f} million parameters" in page("pairs")
    assert run["elapsed_seconds"] <= 75 * 60
    assert run["elapsed_seconds"] == pytest.approx(60 * keys.max_minutes, rel=0.02)


def test_the_ratio_of_two_processes_is_that_of_the_results():
    ratio = figures("scaling")["ratio"]
    assert f"train {ratio:.2f} times as fast as one" in page("scaling")


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("memory", "table"),
        ("memory", "measured_table"),
        ("scaling", "table"),
        ("devices", "table"),
    ],
)
def test_tables_of_scaling_are_those_of_the_results(load_benchmark, name, table):
    assert getattr(load_benchmark(name), table)(figures(name)) in page("scaling")
