"""Who may import whom, and that importing one part never imports all."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import transformer
from transformer.data.tokenizers.characters import CharacterTokenizer
from transformer.models import build_model
from transformer.storage.model_file import save_model

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "transformer").rglob("*.py"))
SCRIPTS = sorted(ROOT.glob("*.py"))

# What each room may import of the rooms, itself aside: in its files, in functions and for type
# checkers too, and through chains of imports. A file right below `transformer` is a room.
ROOMS = {
    "special_ids": "",
    "system": "",
    "data": "special_ids system",
    "decoding": "",
    "models": "decoding special_ids system",
    "config": "data decoding models special_ids system",
    "storage": "data decoding models special_ids system",
    "pages": "config data decoding models special_ids storage system",
    "training": "decoding models special_ids storage system",
    "export": "config data decoding models pages special_ids storage system",
    "generation": "config data decoding models special_ids storage system",
    "evaluation": "config data decoding generation models special_ids storage system",
    "inspection": "config data decoding evaluation generation models pages special_ids storage "
    "system",
    "tasks": "config data decoding evaluation generation inspection models pages special_ids "
    "storage system training",
    "run": "config data decoding evaluation generation inspection models pages special_ids "
    "storage system tasks training",
    "sweep": "config data decoding evaluation generation inspection models pages run special_ids "
    "storage system tasks training",
    "lessons": "decoding models special_ids system",
}
# What each room may import of other people's packages.
PACKAGES = {
    "special_ids": "",
    "system": "filelock platformdirs psutil torch tqdm",
    "data": "charset_normalizer jaxtyping numpy pytorch_lightning safetensors tokenizers torch",
    "decoding": "jaxtyping torch",
    "models": "jaxtyping torch",
    "config": "pydantic pydantic_core yaml",
    "storage": "safetensors tensorboard torch",
    "pages": "numpy tokenizers torch",
    "training": "jaxtyping numpy pytorch_lightning torch tqdm wandb",
    "export": "gguf jaxtyping numpy onnx onnxruntime pydantic safetensors torch transformers",
    "generation": "jaxtyping numpy pydantic torch",
    "evaluation": "numpy pydantic rapidfuzz tabulate torch",
    "inspection": "PIL jaxtyping matplotlib numpy pydantic safetensors torch",
    "tasks": "pydantic",
    "run": "pytorch_lightning tabulate torch",
    "sweep": "matplotlib numpy optuna pydantic scipy tabulate tensorboard torch yaml",
    "lessons": "jaxtyping numpy torch",
}
WITHOUT_TORCH = """
    transformer
    transformer.config.files transformer.config.flags transformer.config.keys
    transformer.config.told_keys transformer.data.prompts
    transformer.decoding.settings transformer.models.families.registry
    transformer.evaluation.options transformer.export.gguf.number_formats
    transformer.export.gguf.vocabulary transformer.export.options transformer.export.registry
    transformer.inspection.options transformer.tasks.registry transformer.training.settings
    transformer.data.built_in.shakespeare transformer.data.order
    transformer.data.pairs.reading transformer.data.text.corpus
    transformer.data.tokenizer_choice transformer.data.tokenizer_files
    transformer.data.tokenizers.registry
    transformer.evaluation.copying.marks transformer.evaluation.copying.search
    transformer.evaluation.error_rates transformer.evaluation.own_data
    transformer.generation.continuation transformer.generation.options
    transformer.generation.prompts transformer.generation.speed
    transformer.inspection.corpus.options transformer.inspection.corpus.page
    transformer.inspection.corpus.report
    transformer.inspection.curve_figures transformer.inspection.curves
    transformer.sweep.run_table transformer.storage.run_list
    transformer.pages.engine transformer.pages.live.vocabulary transformer.pages.template
    transformer.run.ahead transformer.run.conflicts transformer.run.folder_keeper
    transformer.special_ids transformer.storage.curves transformer.storage.events
    transformer.storage.moments transformer.storage.repeat_record
    transformer.storage.pretrained.fitting transformer.storage.pretrained.folder
    transformer.storage.run_folder transformer.storage.run_lock transformer.storage.run_names
    transformer.system.errors transformer.system.files transformer.system.git
    transformer.system.output transformer.system.paths transformer.system.processes
    transformer.sweep.outcome transformer.sweep.starting transformer.sweep.sweeping
    transformer.system.shell transformer.system.signals transformer.system.terminal
    train generate evaluate explain plot prepare export sweep
""".split()
WITHOUT_LIGHTNING = """
    transformer.data.pairs.batches transformer.data.text.batches
    transformer.evaluation.copying.report
    transformer.evaluation.pair_report transformer.evaluation.text_report
    transformer.export.exporting transformer.export.gguf.file transformer.export.gguf.reloaded
    transformer.export.hugging_face.folder transformer.export.hugging_face.reloaded
    transformer.export.html.comparison transformer.export.html.file transformer.export.onnx.kinds
    transformer.generation.text_output transformer.generation.translation_output
    transformer.inspection.attention_figures transformer.inspection.explanation
    transformer.inspection.live transformer.inspection.page transformer.inspection.prompt
    transformer.inspection.validation_pictures
    transformer.lessons.teaching transformer.lessons.tutorial_names
    transformer.run.comparison transformer.storage.model_file
""".split()


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


MODULES = {module_name(path): path for path in SOURCES}


def is_within(name: str, part: str) -> bool:
    return name == part or name.startswith(f"{part}.")


def imports_of(path: Path) -> Iterator[str]:
    """Every name that a file imports, inside functions and for type checkers too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = "." * node.level + (node.module or "")
            yield from (f"{start}.{alias.name}" for alias in node.names)


@cache
def imported(path: Path) -> list[str]:
    return list(imports_of(path))


def room_of(module: str) -> str:
    """The part below `transformer` that a module is in; of the package itself, its name."""
    return module.split(".")[1] if "." in module else module


@cache
def ours(path: Path) -> set[str]:
    """The modules of this package that a file imports, be it a name from them."""
    names = {name if name in MODULES else name.rpartition(".")[0] for name in imported(path)}
    return names & MODULES.keys()


def reached(module: str) -> set[str]:
    """The modules that it imports, and those that these import, and so on."""
    found, waiting = set(), [module]
    while waiting:
        new = ours(MODULES[waiting.pop()]) - found
        found |= new
        waiting += new
    return found


def run_python(code: str, *argv: str) -> None:
    """In a process of its own, where nothing is imported yet."""
    command = [sys.executable, "-c", code, *argv]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr


def imports_none_of(*roots: str) -> str:
    """Code that fails where a module of these roots has been imported."""
    found = f"[m for m in sys.modules if m.split('.')[0] in {roots}]"
    return f"import sys; found = {found}; assert not found, found[:5]"


@pytest.mark.parametrize("path", SOURCES[1:], ids=module_name)
def test_a_file_reaches_no_room_above_its_own(path):
    module = module_name(path)
    room = room_of(module)
    allowed = {room, *ROOMS[room].split()}
    assert {name for name in reached(module) if room_of(name) not in allowed} == set()


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_a_room_imports_only_its_own_packages(path):
    packages = PACKAGES.get(room_of(module_name(path)), "").split()
    names = {name.split(".")[0] for name in imported(path)}
    assert names - sys.stdlib_module_names - {"transformer", *packages} == set()


def test_a_room_stands_below_all_that_it_may_import_and_every_row_is_used():
    rooms = list(ROOMS)
    assert set(rooms) == set(PACKAGES) == {room_of(module) for module in MODULES} - {"transformer"}
    for room, row in ROOMS.items():
        assert set(row.split()) <= set(rooms[: rooms.index(room)])
    for room, row in PACKAGES.items():
        paths = [path for module, path in MODULES.items() if room_of(module) == room]
        used = {name.split(".")[0] for path in paths for name in imported(path)}
        assert set(row.split()) <= used


def test_files_import_in_no_circle():
    assert [name for name in MODULES if name != "transformer" and name in reached(name)] == []


def test_there_are_few_files_beside_the_rooms():
    beside = [path.name for path in (ROOT / "transformer").iterdir() if path.suffix == ".py"]
    assert len(beside) <= 3


def test_nothing_in_the_package_imports_a_script():
    scripts = {path.stem for path in SCRIPTS}
    assert {"train", "generate", "evaluate"} <= scripts
    assert [(p, n) for p in SOURCES for n in imported(p) if n.split(".")[0] in scripts] == []


@pytest.mark.parametrize("path", SOURCES + SCRIPTS, ids=module_name)
def test_lightning_has_one_import_spelling(path):
    """Mixing `lightning` and `pytorch_lightning` breaks isinstance checks."""
    assert [name for name in imported(path) if is_within(name, "lightning")] == []


@pytest.mark.slow
def test_parts_before_the_tensors_import_no_torch():
    modules = ", ".join(WITHOUT_TORCH)
    late = ("torch", "pytorch_lightning", "lightning", "tokenizers")
    run_python(f"import {modules}; {imports_none_of(*late)}")


def test_using_a_public_name_imports_no_more_than_its_part():
    names = "CharacterTokenizer, Config, UserError, load_config"
    run_python(f"from transformer import {names}; {imports_none_of('torch')}")


def test_the_numpy_reference_imports_no_torch_and_no_other_part_of_the_package():
    package = "transformer.lessons.numpy_reference"
    run_python(
        f"from {package} import Transformer; {imports_none_of('torch', 'jaxtyping')};"
        "ours = [m for m in sys.modules if m.split('.')[0] == 'transformer'];"
        f"others = [m for m in ours if not {package!r}.startswith(m) and {package!r} not in m];"
        "assert not others, others"
    )


@pytest.mark.slow
def test_parts_that_use_a_model_and_generating_import_no_lightning(tmp_path):
    modules = ", ".join(WITHOUT_LIGHTNING)
    sizes = {"block_size": 5, "embedding_dim": 6, "num_heads": 3, "num_blocks": 1}
    tokenizer = CharacterTokenizer("\nabc")
    model = build_model("gpt", vocab_size=tokenizer.vocab_size, **sizes)
    parts = {"tokenizer": tokenizer.state, "architecture": model.architecture}
    save_model(tmp_path / "model.safetensors", model, parts)
    run_python(
        f"import {modules}, sys, generate; generate.main(sys.argv[1:]);"
        + imports_none_of("pytorch_lightning", "lightning"),
        *(str(tmp_path / "model.safetensors"), "--max_new_tokens", "3", "--device", "cpu"),
    )


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
