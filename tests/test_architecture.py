"""Who may import whom, how long things may be, and that importing one part never imports all."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import transformer
from transformer.checkpoint import save_model
from transformer.data.tokenizers import CharacterTokenizer
from transformer.models import build_model

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "transformer").rglob("*.py"))
SCRIPTS = sorted(ROOT.glob("*.py"))

# What a module may import beside the standard library: the row with the longest name that the
# module starts with holds. A name stands for all that is in it.
MAY_IMPORT = {
    "transformer": "transformer",  # for type checkers alone; the tests below see that
    "transformer.checkpoint": "safetensors torch transformer.data.pair_tokenizers "
    "transformer.data.tokenizers transformer.errors transformer.files transformer.models",
    "transformer.command_line": "pydantic transformer.config_files transformer.config_types "
    "transformer.errors transformer.flag_parser transformer.output transformer.paths "
    "transformer.scalars",
    "transformer.config": "pydantic transformer.config_types transformer.defaults",
    "transformer.config_types": "pydantic pydantic_core transformer.paths transformer.scalars",
    "transformer.config_files": "pydantic yaml transformer.config transformer.errors "
    "transformer.files transformer.paths transformer.scalars",
    "transformer.curve_plots": "matplotlib transformer.curves",
    "transformer.curves": "safetensors tensorboard transformer.data.corpus transformer.errors "
    "transformer.evaluation transformer.runs",
    "transformer.data": "jaxtyping numpy pytorch_lightning torch transformer.data "
    "transformer.errors transformer.files transformer.paths",
    "transformer.data.batches": "jaxtyping torch transformer.data transformer.defaults",
    "transformer.data.chunks": "numpy",
    "transformer.data.corpus": "numpy transformer.data.record transformer.data.sources "
    "transformer.data.tokenizers transformer.errors transformer.files",
    "transformer.data.pair_batches": "jaxtyping numpy torch transformer.data.batches "
    "transformer.data.chunks transformer.defaults",
    "transformer.data.pair_sources": "transformer.errors",
    "transformer.data.pair_tokenizers": "numpy transformer.data.unknown transformer.defaults",
    "transformer.data.pairs": "numpy transformer.data.pair_tokenizers transformer.data.record "
    "transformer.data.sources transformer.errors transformer.files",
    "transformer.data.record": "",
    "transformer.data.sources": "transformer.data.pair_sources transformer.errors "
    "transformer.files",
    "transformer.data.tokenizers": "numpy transformer.data.pair_tokenizers "
    "transformer.data.unknown",
    "transformer.data.unknown": "transformer.errors",
    "transformer.defaults": "",
    "transformer.devices": "torch transformer.errors",
    "transformer.error_rates": "numpy rapidfuzz",
    "transformer.errors": "",
    "transformer.evaluation": "numpy torch transformer.data.batches transformer.data.chunks "
    "transformer.data.tokenizers transformer.defaults transformer.models",
    "transformer.explanation": "jaxtyping numpy torch transformer.data.tokenizers "
    "transformer.defaults transformer.errors transformer.generation.translation "
    "transformer.models",
    "transformer.explanation_page": "jaxtyping numpy transformer.explanation",
    "transformer.files": "transformer.errors",
    "transformer.flag_parser": "transformer.config_files transformer.errors transformer.scalars",
    "transformer.generation": "jaxtyping numpy torch transformer.checkpoint "
    "transformer.data.pair_tokenizers transformer.data.tokenizers transformer.defaults "
    "transformer.devices transformer.errors transformer.generation transformer.models "
    "transformer.paths",
    "transformer.generation.beam_search": "jaxtyping torch transformer.defaults "
    "transformer.generation.sampling",
    "transformer.generation.continuation": "",
    "transformer.generation.decoding": "jaxtyping torch transformer.generation.sampling",
    "transformer.generation.interactive": "transformer.command_line transformer.config_files "
    "transformer.errors transformer.generation",
    "transformer.generation.options": "pydantic transformer.command_line transformer.config_types "
    "transformer.defaults transformer.errors",
    "transformer.generation.facts": "transformer.checkpoint",
    "transformer.generation.prompts": "transformer.command_line transformer.errors "
    "transformer.files transformer.generation.options transformer.generation.text "
    "transformer.generation.translation",
    "transformer.generation.speed": "transformer.generation.continuation",
    "transformer.generation.sampling": "jaxtyping torch",
    "transformer.models": "jaxtyping torch transformer.defaults transformer.generation.decoding "
    "transformer.generation.sampling transformer.models",
    "transformer.models.numpy_reference": "numpy transformer.models.numpy_reference",
    "transformer.own_data": "transformer.checkpoint transformer.data.corpus "
    "transformer.data.record transformer.errors transformer.files transformer.shell",
    "transformer.pair_evaluation": "torch transformer.data.pair_tokenizers transformer.defaults "
    "transformer.error_rates transformer.models",
    "transformer.pictures": "jaxtyping matplotlib numpy torch transformer.data.tokenizers "
    "transformer.models transformer.plots",
    "transformer.plots": "jaxtyping matplotlib numpy torch transformer.data.pair_tokenizers "
    "transformer.defaults transformer.models",
    "transformer.output": "",
    "transformer.paths": "transformer.errors",
    "transformer.processes": "transformer.errors",
    "transformer.shell": "",
    "transformer.signals": "",
    "transformer.production": "jaxtyping torch transformer.models",
    "transformer.run": "pytorch_lightning torch transformer",
    "transformer.run.estimation": "tabulate torch transformer",
    "transformer.run.resuming": "transformer.checkpoint transformer.command_line "
    "transformer.config transformer.data.corpus transformer.data.pairs transformer.data.record "
    "transformer.errors transformer.files transformer.processes transformer.runs "
    "transformer.training.estimates",
    "transformer.run.verification": "pytorch_lightning tensorboard torch transformer.checkpoint "
    "transformer.config transformer.devices transformer.runs transformer.training.callbacks",
    "transformer.run_lock": "transformer.errors transformer.processes",
    "transformer.run_names": "transformer.errors",
    "transformer.runs": "transformer.errors transformer.files transformer.paths "
    "transformer.processes transformer.run_lock",
    "transformer.scalars": "yaml",
    "transformer.tasks": "transformer",
    "transformer.teaching": "jaxtyping torch transformer.models",
    "transformer.training": "jaxtyping numpy pytorch_lightning tabulate torch tqdm "
    "transformer.checkpoint transformer.defaults transformer.devices transformer.errors "
    "transformer.files transformer.models transformer.processes transformer.runs "
    "transformer.signals transformer.training",
}
WITHOUT_TORCH = [
    *("transformer", "transformer.command_line", "transformer.config", "transformer.config_files"),
    *("transformer.curves", "transformer.curve_plots"),
    *("transformer.data.chunks", "transformer.data.corpus", "transformer.data.sources"),
    *("transformer.data.pairs", "transformer.data.pair_tokenizers", "transformer.own_data"),
    "transformer.training.terminal",
    *(
        "transformer.data.tokenizers",
        "transformer.error_rates",
        "transformer.errors",
        "transformer.files",
        "transformer.output",
        "transformer.paths",
        "transformer.processes",
        "transformer.run.folder",
        "transformer.run_lock",
        "transformer.run_names",
        "transformer.shell",
        "transformer.signals",
        "transformer.runs",
        "transformer.defaults",
        "transformer.generation.continuation",
        "transformer.generation.options",
        "transformer.generation.prompts",
        "transformer.generation.speed",
    ),
    *("train", "generate", "evaluate", "explain", "plot"),
]
WITHOUT_LIGHTNING = [
    *("transformer.checkpoint", "transformer.data.batches", "transformer.evaluation"),
    *("transformer.data.pair_batches", "transformer.explanation", "transformer.explanation_page"),
    *("transformer.generation.text", "transformer.generation.translation"),
    "transformer.models.build",
    *("transformer.pair_evaluation", "transformer.pictures", "transformer.plots"),
    *("transformer.production", "transformer.teaching"),
]


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


def is_within(name: str, part: str) -> bool:
    return name == part or name.startswith(f"{part}.")


def imported(path: Path) -> Iterator[str]:
    """Every name that a file imports, inside functions and for type checkers too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = "." * node.level + (node.module or "")
            yield from (f"{start}.{alias.name}" for alias in node.names)


def allowed(module: str) -> list[str]:
    """The row of a module; one right below `transformer` must have its own."""
    rows = [name for name in MAY_IMPORT if is_within(module, name)]
    row = max(rows, key=len)
    assert row != "transformer" or module == row, f"{module} has no row in MAY_IMPORT"
    return MAY_IMPORT[row].split()


def run_python(code: str, *argv: str) -> None:
    """In a process of its own, where nothing is imported yet."""
    command = [sys.executable, "-c", code, *argv]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr


def imports_none_of(*roots: str) -> str:
    """Code that fails where a module of these roots has been imported."""
    found = f"[m for m in sys.modules if m.split('.')[0] in {roots}]"
    return f"import sys; found = {found}; assert not found, found[:5]"


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_module_imports_only_what_its_row_of_the_table_allows(path):
    row = allowed(module_name(path))
    foreign = [
        name
        for name in imported(path)
        if name.split(".")[0] not in sys.stdlib_module_names
        and not any(is_within(name, part) for part in row)
    ]
    assert foreign == []


def test_data_and_training_meet_where_a_run_is_put_together():
    def knows(path: Path, part: str) -> bool:
        return is_within(module_name(path), part) or any(
            is_within(name, part) for name in imported(path)
        )

    both = [
        module_name(path)
        for path in SOURCES
        if knows(path, "transformer.data") and knows(path, "transformer.training")
    ]
    # The first for type checkers alone.
    rooms = ("transformer.run", "transformer.tasks")
    assert [name for name in both if not any(is_within(name, room) for room in rooms)] == [
        "transformer"
    ]


def test_nothing_in_the_package_imports_a_script():
    scripts = {path.stem for path in SCRIPTS}
    assert {"train", "generate", "evaluate"} <= scripts
    assert [(p, n) for p in SOURCES for n in imported(p) if n.split(".")[0] in scripts] == []


@pytest.mark.parametrize("path", SOURCES + SCRIPTS, ids=module_name)
def test_lightning_has_one_import_spelling(path):
    """Mixing `lightning` and `pytorch_lightning` breaks isinstance checks."""
    assert [name for name in imported(path) if is_within(name, "lightning")] == []


def test_parts_before_the_tensors_import_no_torch():
    modules = ", ".join(WITHOUT_TORCH)
    run_python(f"import {modules}; {imports_none_of('torch', 'pytorch_lightning', 'lightning')}")


def test_using_a_public_name_imports_no_more_than_its_part():
    names = "CharacterTokenizer, Config, UserError, load_config"
    run_python(f"from transformer import {names}; {imports_none_of('torch')}")


def test_the_numpy_reference_imports_no_torch_and_no_other_part_of_the_package():
    package = "transformer.models.numpy_reference"
    run_python(
        f"from {package} import Transformer; {imports_none_of('torch', 'jaxtyping')};"
        "ours = [m for m in sys.modules if m.split('.')[0] == 'transformer'];"
        f"others = [m for m in ours if not {package!r}.startswith(m) and {package!r} not in m];"
        "assert not others, others"
    )


def test_parts_that_use_a_model_import_no_lightning():
    modules = ", ".join(WITHOUT_LIGHTNING)
    run_python(f"import {modules}; {imports_none_of('pytorch_lightning', 'lightning')}")


def test_generating_from_a_checkpoint_imports_no_lightning(tmp_path):
    sizes = {"block_size": 5, "embedding_dim": 6, "num_heads": 3, "num_blocks": 1}
    tokenizer = CharacterTokenizer("\nabc")
    model = build_model("gpt", vocab_size=tokenizer.vocab_size, **sizes)
    parts = {"tokenizer": tokenizer.state, "architecture": model.architecture}
    save_model(tmp_path / "model.safetensors", model, parts)
    run_python(
        "import sys, generate; generate.main(sys.argv[1:]);"
        + imports_none_of("pytorch_lightning", "lightning"),
        *(str(tmp_path / "model.safetensors"), "--max_new_tokens", "3", "--device", "cpu"),
    )


@pytest.mark.parametrize("path", SOURCES + SCRIPTS, ids=module_name)
def test_file_is_at_most_300_lines_and_the_body_of_a_function_40(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 300
    bodies = [
        (node.name, node.end_lineno - node.body[0].lineno + 1)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno
    ]
    assert [(name, lines) for name, lines in bodies if lines > 40] == []


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_package_prints_nothing_but_where_a_line_is_marked(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    calls = [
        lines[node.lineno - 1]
        for node in ast.walk(ast.parse("\n".join(lines)))
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "print"
    ]
    assert [line for line in calls if "# noqa: T201" not in line] == []


def test_every_public_name_resolves_and_is_listed():
    assert sorted(transformer.__all__) == sorted(transformer._HOMES)
    for name in transformer.__all__:
        assert getattr(transformer, name).__module__.startswith("transformer.")
    assert set(transformer.__all__) <= set(dir(transformer))


def test_public_names_for_type_checkers_are_those_at_run_time():
    tree = ast.parse((ROOT / "transformer" / "__init__.py").read_text(encoding="utf-8"))
    named = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("transformer.")
        for alias in node.names
    }
    assert named == {name: f"transformer.{home}" for name, home in transformer._HOMES.items()}


def test_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'transformer' has no attribute 'nothing'"):
        _ = transformer.nothing
    with pytest.raises(AttributeError, match=r"module 'transformer\.models' has no attribute 'x'"):
        _ = transformer.models.x


def test_every_row_of_the_table_has_a_module():
    for name in MAY_IMPORT:
        import_module(name)
