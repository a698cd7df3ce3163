"""The configs as editors and other YAML readers see them, and what git leaves alone."""

import fnmatch
import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from explain import ExplainOptions
from plot import PlotOptions
from transformer.config.files import load_config
from transformer.config.keys import Config
from transformer.config.planned_keys import PLANNED_KEYS

ROOT = Path(__file__).parents[2]
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
NUMBERS = ("integer", "number")


def types_of(schema):
    return {part["type"] for part in schema.get("anyOf", [schema]) if "type" in part}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_shipped_config_is_valid_by_the_schema_for_readers_of_yaml_1_1_too(path):
    """PyYAML's safe_load is YAML 1.1, which takes 1e-2 for a text."""
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    keys = Config.model_json_schema()["properties"]
    for key, value in values.items():
        types = types_of(keys[key])
        if types & {*NUMBERS} and (types <= {*NUMBERS, "null"} or key in PLANNED_KEYS):
            assert not isinstance(value, str) or value == "auto", f"{key}: {value!r}"
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.validate(values, json.loads((ROOT / "configs" / "schema.json").read_text()))
    if path.stem.startswith("auto"):
        assert [key for key, value in values.items() if value == "auto"]
        return
    config = load_config(path)
    assert "auto" not in [values.get(key) for key in PLANNED_KEYS]
    assert {key: getattr(config, key) for key in values} == values


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_copied_config_names_no_schema_that_is_not_beside_it(path):
    assert "$schema" not in path.read_text(encoding="utf-8")


def test_the_editors_settings_find_the_schema_for_every_config_and_a_copy_of_it():
    settings = json.loads((ROOT / ".vscode" / "settings.json").read_text(encoding="utf-8"))
    ((schema, patterns),) = settings["yaml.schemas"].items()
    assert (ROOT / schema).resolve() == ROOT / "configs" / "schema.json"
    wanted = [p.lstrip("!") for p in patterns if not p.startswith("!")]
    left_out = [p.lstrip("!") for p in patterns if p.startswith("!")]

    def is_matched(name):
        return any(fnmatch.fnmatch(name, p) for p in wanted) and name not in left_out

    assert all(is_matched(path.name) for path in [*CONFIGS, Path("mine.yaml"), Path("config.yaml")])
    assert not is_matched(".pre-commit-config.yaml")


def test_what_a_command_writes_by_default_or_in_the_readme_is_ignored_by_git():
    if not (ROOT / ".git").exists():
        pytest.skip("no git checkout")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^python .*--out .*$", readme, re.MULTILINE)
    named = [(words := shlex.split(line))[words.index("--out") + 1] for line in commands]
    defaults = [kind.model_fields["out"].default for kind in (ExplainOptions, PlotOptions)]
    files = {*named, *defaults, "runs/x/version_0/model.safetensors"}
    assert {"attention.png", "curves.png", "explain.html"} <= files
    command = ["git", "check-ignore", *sorted(files)]
    ignored = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.split()
    assert set(ignored) == files
