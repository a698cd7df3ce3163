"""Makes flags from the fields of a pydantic model, with one-line errors. Imports no torch."""

import argparse
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

from transformer.config.files import Setting, check, is_unset_by, leaves, takes_several
from transformer.config.flag_parser import FlagParser
from transformer.config.types import Boolean, FilePath
from transformer.system.errors import UserError
from transformer.system.paths import expanded

_CHECKPOINT = (
    "model.safetensors, a .ckpt, a run's folder, or the folder of a model of another program "
    "(docs/start_from.md); by default the newest run's best model"
)


class ModelOptions(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    skip_unknown: Boolean = Field(
        False, description="drop characters (or words) that the model never saw, and count them"
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="where to compute")
    runs_dir: FilePath = Field("runs", description="folder to find the newest run in")


def only_for(task: str) -> dict[str, Any]:
    """For `Field(json_schema_extra=...)`: a flag that models of other tasks refuse."""
    return {"task": task}


def path_argument(text: str) -> str:
    """The argparse type of a path that is not a field of a model."""
    try:
        return str(expanded(text))
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_checkpoint(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "checkpoint",
        nargs="?",
        type=path_argument,
        help=_CHECKPOINT,
    )


def add_checkpoints(parser: argparse.ArgumentParser) -> None:
    """One or several, as `checkpoints`."""
    parser.add_argument(
        "checkpoints",
        nargs="*",
        type=path_argument,
        metavar="checkpoint",
        help=f"{_CHECKPOINT}; several models of one tokenizer are averaged",
    )


def add_flags(parser: FlagParser, kind: type[BaseModel]) -> None:
    """Adds a flag for each field. Its value stays a text, which the field's type reads later."""
    for name, field in kind.model_fields.items():
        arguments: dict[str, Any] = {
            "metavar": _metavar(field),
            "default": argparse.SUPPRESS,
            "help": _help(field).replace("%", "%%"),
        }
        kinds = leaves(field.annotation)
        if bool in kinds:
            words = [leaf for leaf in kinds if isinstance(leaf, str)]
            parser.add_switch(f"--{name}", *words, takes_number=int in kinds, **arguments)
        elif takes_several(field.annotation):
            parser.add_argument(f"--{name}", action=_Several, nargs="+", **arguments)
        elif field.default == ():
            parser.add_argument(f"--{name}", action="append", **arguments)
        else:
            parser.add_argument(f"--{name}", **arguments)


class _Several(argparse.Action):
    """One value stays a text, as in a file; several are a list, also of a flag given again."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option: Any = None) -> None:
        known = getattr(namespace, self.dest, [])
        found = [*([known] if isinstance(known, str) else known), *values]
        setattr(namespace, self.dest, found[0] if len(found) == 1 else found)


def given_flags(arguments: argparse.Namespace, kind: type[BaseModel]) -> dict[str, Any]:
    return given({k: v for k, v in vars(arguments).items() if k in kind.model_fields}, kind)


def given(texts: dict[str, Any], kind: type[BaseModel]) -> dict[str, Any]:
    """The options, with None for `none`, `null` and `~` where the field may be None."""
    fields = kind.model_fields
    return {k: None if is_unset_by(text, fields[k]) else text for k, text in texts.items()}


def check_flags(kind: type[BaseModel], flags: dict[str, Any]) -> Any:
    """A script's options as a `kind`.

    Raises: UserError for a required flag that is not given, and one that names each wrong flag.
    """
    for name, field in kind.model_fields.items():
        if field.is_required() and name not in flags:
            raise UserError(f"give --{name} {_metavar(field)}: {field.description}")
    settings = {name: Setting(value, f"--{name}") for name, value in flags.items()}
    return check(kind, settings, "command line")


def _metavar(field: FieldInfo) -> str:
    words = {bool: "true|false", int: "N", float: "X", str: "TEXT"}
    choices = [words.get(leaf, leaf) for leaf in leaves(field.annotation)]
    return "|".join(dict.fromkeys(c for c in choices if isinstance(c, str))) or "VALUE"


def _help(field: FieldInfo) -> str:
    if field.is_required():
        return f"{field.description} (required)"
    default = str(field.default).lower() if isinstance(field.default, bool) else field.default
    note = "" if field.default in (None, "", ()) else f" (default {default})"
    return f"{field.description}{note}"
