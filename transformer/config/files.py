"""Reads YAML files and flags into a Config, with one-line errors. Imports no torch."""

from collections.abc import Mapping
from difflib import get_close_matches
from os.path import normpath
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from transformer.config import scalars
from transformer.config.data_keys import REQUIRED_KEYS
from transformer.config.keys import Config
from transformer.config.planned_keys import PLANNED_KEYS
from transformer.data.sources.settings import listed
from transformer.system.errors import UserError
from transformer.system.files import read_utf8
from transformer.system.paths import expanded

T = TypeVar("T", bound=BaseModel)


class Setting(NamedTuple):
    value: Any
    origin: str  # `configs/default.yaml:3` or `--lr`
    text: str | None = None  # as it stands in the file, if it is not quoted


def load_config(
    path: str | Path, flags: Mapping[str, Any] | None = None, *, same_text: bool = False
) -> Config:
    """The config of a YAML file, with `flags` in place of its values.

    The file's sample_prompt suits its own data_path. If a flag gives another data_path, the prompt
    is dropped, except when it is known to be the `same_text`, as on resuming.

    Raises: UserError for a file that cannot be read, is not flat YAML, holds an unknown key,
    lacks one of the nine required keys, or holds a value out of range.
    """
    settings = gather(path, flags, same_text=same_text)
    for key in planned_keys(settings):
        why = "a resumed run keeps its sizes" if same_text else "only train.py plans auto"
        raise UserError(f"{settings[key].origin}: {key}: {why}; give a number")
    return check(Config, settings, str(path))


def planned_keys(settings: Mapping[str, Setting]) -> list[str]:
    """The keys of the model's size and its training that are left to the planner."""
    keys = [key for key in PLANNED_KEYS if key in settings]
    return [key for key in keys if settings[key].value == "auto"]


def gather(
    path: str | Path | None,
    flags: Mapping[str, Any] | None = None,
    *,
    same_text: bool = False,
    base: Mapping[str, Setting] | None = None,
) -> dict[str, Setting]:
    """The settings of a file and of flags, as `load_config` joins them; values are not checked.

    `base` are those of keys that neither of them gives.

    Raises: UserError for a file that cannot be read or is not flat YAML, and for a missing key.
    """
    settings = {**(base or {}), **({} if path is None else read_settings(expanded(path)))}
    flags = flags or {}
    if not same_text and "data_path" in settings and "data_path" in flags:
        own, given = settings["data_path"].value, flags["data_path"]
        if _normal(own) != _normal(given):
            settings.pop("sample_prompt", None)
    settings |= {key: Setting(value, f"--{key}") for key, value in flags.items()}
    if flags.get("max_minutes") is not None:  # all the time is used: the file's limits are lifted
        for key in {"epochs", "max_steps"} & settings.keys() - flags.keys():
            settings[key] = Setting(None, "--max_minutes")
    if missing := [key for key in REQUIRED_KEYS if key not in settings]:
        for key, setting in settings.items():  # the missing key may be there with a typo
            if key not in Config.model_fields:
                hint = unknown_name("key", key, Config.model_fields)
                raise UserError(f"{setting.origin}: {hint}")
        where = "command line" if path is None else path
        raise UserError(
            f"{where}: missing key {', '.join(missing)}: every config holds "
            f"{' '.join(REQUIRED_KEYS)} (or give `{missing[0]}=VALUE`)"
        )
    return settings


def _normal(data_path: Any) -> list[str]:
    return [normpath(str(path)) for path in listed(data_path)]


def read_settings(path: str | Path) -> dict[str, Setting]:
    """The keys of a flat YAML file with their lines; the values are not checked yet."""
    text = read_utf8(path, "config file")
    try:
        root = yaml.compose(text, Loader=scalars.CoreLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise UserError(f"{path}{line}: not valid YAML: {problem}") from None
    except (ValueError, OverflowError) as error:  # a wrong escape or version number
        raise UserError(f"{path}: not valid YAML: {error}") from None
    except RecursionError:
        raise UserError(
            f"{path}: not flat YAML: nested too deeply; write `key: value` lines"
        ) from None
    if root is None:
        raise UserError(f"{path}: the config is empty: write `key: value` lines")
    if not isinstance(root, yaml.MappingNode):
        raise UserError(f"{path}: a config is `key: value` lines, and this file is not")
    settings: dict[str, Setting] = {}
    for key_node, value_node in root.value:
        origin = f"{path}:{key_node.start_mark.line + 1}"
        if not isinstance(key_node, yaml.ScalarNode) or not _is_plain(key_node.value, value_node):
            raise UserError(f"{origin}: a config is flat; write `key: value` with a plain value")
        if value_node.start_mark.index < key_node.end_mark.index:
            raise UserError(
                f"{origin}: a config has no aliases; write the value of {key_node.value}"
            )
        if key_node.value in settings:
            first = settings[key_node.value].origin
            raise UserError(f"{origin}: {key_node.value} is set here and at {first}; keep one")
        settings[key_node.value] = _read_value(value_node, origin)
    return settings


def _is_plain(key: str, node: yaml.Node) -> bool:
    """A scalar or, for a key that takes several values, a list of scalars."""
    if isinstance(node, yaml.SequenceNode) and node.tag == f"{scalars.TAG}seq":
        field = Config.model_fields.get(key)
        own = node.start_mark.index
        return (
            field is not None
            and takes_several(field.annotation)
            and all(isinstance(item, yaml.ScalarNode) for item in node.value)
            and all(item.start_mark.index >= own for item in node.value)  # no aliases
        )
    return isinstance(node, yaml.ScalarNode)


def takes_several(annotation: Any) -> bool:
    """Whether a key with this type may be a list."""
    return get_origin(annotation) is list or any(map(takes_several, get_args(annotation)))


def _read_value(node: yaml.Node, origin: str) -> Setting:
    if isinstance(node, yaml.ScalarNode):
        return _read_scalar(node, origin)
    read = [_read_scalar(item, origin) for item in node.value]
    return Setting([item.value if item.text is None else item.text for item in read], origin)


def _read_scalar(node: yaml.ScalarNode, origin: str) -> Setting:
    """Raises: UserError for a tag outside the core schema, or one that does not fit the text."""
    kind = node.tag.removeprefix(scalars.TAG)
    try:
        value = scalars.value(node.value, kind)
    except ValueError as error:
        raise UserError(f"{origin}: not a plain value: {error}") from None
    plain = node.style is None and kind == scalars.kind_of(node.value)
    return Setting(value, origin, node.value if plain and node.value else None)


def check(kind: type[T], settings: Mapping[str, Setting], origin: str) -> T:
    """The settings as a `kind`. Raises: UserError with all problems and their origins in a line."""
    fields = kind.model_fields
    values: dict[str, Any] = {key: setting.value for key, setting in settings.items()}
    for key in values.keys() & fields.keys():
        unset = is_unset_by(settings[key].text, fields[key])
        values[key] = None if unset else _as_given(settings[key], fields[key])
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        problems = _problems(error, kind, settings, origin)
        raise UserError("; ".join(problems)) from None


def _as_given(setting: Setting, field: FieldInfo) -> Any:
    """The text of an unquoted value, as in a flag: for a name, `0123` is not a number.

    Without the spaces around it, unless the field's type is text.
    """
    value = setting.value if setting.text is None else setting.text
    may_be_padded = isinstance(value, str) and str not in leaves(field.annotation)
    return value.strip(" \t") if may_be_padded else value


def is_unset_by(text: Any, field: FieldInfo) -> bool:
    """Whether the field may be None, and this text in a file or a flag stands for None."""
    may_be_none = isinstance(text, str) and type(None) in leaves(field.annotation)
    return may_be_none and scalars.unsets(text.strip(" \t"))


def leaves(annotation: Any) -> list[Any]:
    """The types and words in a union, in order; unions may be nested."""
    parts = get_args(annotation)
    if not parts or isinstance(annotation, type):
        return [annotation]
    return [leaf for part in parts for leaf in leaves(part)]


# pydantic's error types in words that follow "must be"; its `ctx` fills the braces.
_WORDS = {
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "dict_type": "keys with values",
    "finite_number": "a finite number",
    "float_parsing": "a number",
    "float_type": "a number",
    "greater_than": "greater than {gt}",
    "greater_than_equal": "at least {ge}",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a smaller number",
    "int_type": "a whole number",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "literal_error": "{expected}",
    "missing": "given",
    "list_type": "a list",
    "encoding": "the name of an encoding, such as utf-8, latin-1 or gb18030",
    "string_pattern_mismatch": "a plain folder name",
    "string_too_short": "not empty",
    "too_short": "not empty",
    "string_type": "text",
    "tokenizer_file": "a file that ends in .json or .safetensors",
    "string_unicode": "text without lone surrogates",
}


def _problems(
    error: ValidationError, kind: type[BaseModel], settings: Mapping[str, Setting], origin: str
) -> list[str]:
    fields = kind.model_fields
    unknown, wanted, others = [], {}, []
    for detail in error.errors():
        key = str(detail["loc"][0]) if detail["loc"] else ""
        if detail["type"] == "extra_forbidden":
            unknown.append(f"{settings[key].origin}: {unknown_name('key', key, fields)}")
        elif detail["type"] in _WORDS:
            words = _WORDS[detail["type"]].format(**detail.get("ctx", {}))
            wanted.setdefault(key, []).append(words)
        else:
            others.append(f"{origin}: {detail['msg'].removeprefix('Value error, ')}")
    values = []
    for key, words in wanted.items():
        setting = settings.get(key, Setting(None, origin))
        known = key in settings and key in fields
        got = f", got {_as_given(setting, fields[key])!r}" if known else ""
        wish = " or ".join(dict.fromkeys(words))
        values.append(f"{setting.origin}: {key} must be {wish}{got}")
    return unknown + values + others


# Names of our keys in other trainers.
_ELSEWHERE = {
    "context_length": "block_size",
    "d_ff": "feedforward_dim",
    "d_model": "embedding_dim",
    "dataset": "data_path",
    "learning_rate": "lr",
    "max_iters": "max_steps",
    "n_ctx": "block_size",
    "n_embd": "embedding_dim",
    "n_head": "num_heads",
    "n_layer": "num_blocks",
    "num_layers": "num_blocks",
}


def unknown_name(
    what: str,
    name: str,
    known: Mapping[str, Any] | list[str],
    otherwise: str = "train.py --help lists them all",
) -> str:
    """`unknown key 'lerning_rate', ...` with the most similar known name, if any."""
    by_bare_name = {candidate.lstrip("-"): candidate for candidate in known}
    dashes = "--" * name.startswith("--")
    for elsewhere, ours in _ELSEWHERE.items():
        if ours in by_bare_name:
            by_bare_name[elsewhere] = dashes + ours
    nearest = get_close_matches(name.lstrip("-"), by_bare_name, n=1, cutoff=0.5)
    hint = f"did you mean {by_bare_name[nearest[0]]}?" if nearest else otherwise
    return f"unknown {what} {name!r}: {hint}"


def to_yaml(values: Mapping[str, Any]) -> str:
    """Flat YAML that `load_config` and other programs read as these values."""
    fields = Config.model_fields
    written = {
        key: scalars.Quoted(value) if key in fields and is_unset_by(value, fields[key]) else value
        for key, value in values.items()
    }
    options = {"sort_keys": False, "allow_unicode": True, "width": 1000}
    return yaml.dump(written, Dumper=scalars.QuotingDumper, **options)
