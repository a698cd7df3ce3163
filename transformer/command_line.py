"""Flags made from the fields of a pydantic model, and mistakes as one line. Imports no torch."""

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

from transformer.config_files import Setting, check, leaves, may_be_unset
from transformer.config_types import Boolean, FilePath
from transformer.errors import UserError, in_flags, is_out_of_memory
from transformer.flag_parser import FlagParser
from transformer.output import fill_closed_descriptors
from transformer.paths import expanded
from transformer.scalars import unsets


class ModelOptions(BaseModel):
    """The flags of every script that uses a trained model."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    skip_unknown: Boolean = Field(
        False, description="drop characters (or words) that the model never saw, and count them"
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="where to compute")
    runs_dir: FilePath = Field("runs", description="where the newest run is looked for")


def path_argument(text: str) -> str:
    """The type of an argument that is a path and no field of a model."""
    try:
        return expanded(text)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_checkpoint(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "checkpoint",
        nargs="?",
        type=path_argument,
        help="model.safetensors, a .ckpt or a run's folder; by default the newest run's best model",
    )


def add_flags(parser: FlagParser, kind: type[BaseModel]) -> None:
    """One flag for each field, all as text: the fields' own types convert and check it."""
    for name, field in kind.model_fields.items():
        arguments: dict[str, Any] = {
            "metavar": _metavar(field),
            "default": argparse.SUPPRESS,
            "help": _help(field).replace("%", "%%"),
        }
        kinds = leaves(field.annotation)
        if bool in kinds:
            words = [leaf for leaf in kinds if isinstance(leaf, str)]
            parser.add_switch(f"--{name}", *words, **arguments)
        elif field.default == ():
            parser.add_argument(f"--{name}", action="append", **arguments)
        else:
            parser.add_argument(f"--{name}", **arguments)


def given_flags(arguments: argparse.Namespace, kind: type[BaseModel]) -> dict[str, Any]:
    """What was given on the command line."""
    return given({k: v for k, v in vars(arguments).items() if k in kind.model_fields}, kind)


def given(texts: dict[str, Any], kind: type[BaseModel]) -> dict[str, Any]:
    """Options as a person wrote them: `none`, `null` and `~` unset one that may be unset."""
    optional = [name for name in texts if may_be_unset(kind.model_fields[name])]
    return texts | {name: None for name in optional if unsets(texts[name].strip(" \t"))}


def check_flags(kind: type[BaseModel], flags: dict[str, Any]) -> Any:
    """An instance of a script's options. Raises: UserError naming each wrong flag."""
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
    note = "" if field.default in (None, "", ()) else f" (default {default!r})".replace("'", "")
    return f"{field.description}{note}"


@contextlib.contextmanager
def with_flags_in_errors() -> Iterator[None]:
    """What the package says in Python's words is said in those of the command line."""
    try:
        yield
    except UserError as error:
        raise UserError(in_flags(str(error))) from None


def _report(text: str) -> int:
    say(f"error: {' '.join(text.splitlines())}")
    return 2


def tell(text: str) -> None:
    """Lines on stdout, at once."""
    print(text, flush=True)  # noqa: T201


def say(text: str) -> None:
    """A line on stderr; where that is closed or full, it is lost, and nothing else."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            print(text, file=sys.stderr)  # noqa: T201


def say_loading(path: object) -> None:
    """What a person waits for, at a terminal; to a program stderr has errors and news alone."""
    if sys.stderr is not None and sys.stderr.isatty():
        say(f"loading {path} ...")


def run_script(main: Callable[[], int | None]) -> None:
    """Calls a script's main and exits with what it returns; a user's mistake is one line and 2."""
    fill_closed_descriptors()
    if isinstance(sys.stdout, io.TextIOWrapper):  # samples in any script, on any console
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace", newline="\n")
    status = _status_of(main)
    error = _flush(sys.stdout)
    if error is not None and not isinstance(error, BrokenPipeError):  # the reader has gone
        status = status or _report(f"{_UNWRITTEN} ({error.strerror}): {_MAKE_ROOM}")
    _flush(sys.stderr)
    sys.exit(status)


_UNWRITTEN = "what was printed could not be written whole"
_MAKE_ROOM = "make room or choose another place"


def _status_of(main: Callable[[], int | None]) -> int:
    try:
        return main() or 0
    except SystemExit as leaving:  # of argparse's --help, and of a run that was interrupted
        if isinstance(leaving.code, str):
            raise
        return leaving.code or 0
    except UserError as error:
        return _report(str(error))
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        line = " ".join(str(error).splitlines()[:1])
        return _report(f"out of memory: {line}: give fewer texts, a smaller batch or model")
    except BrokenPipeError:  # the reader, say `head`, has gone: no error of ours
        return 0
    except OSError as error:  # a full disk, say, or a folder that went away
        return _report(f"{error}: {_MAKE_ROOM}, and try again")
    except KeyboardInterrupt:
        return 130


def _flush(stream: Any) -> OSError | None:
    """The error, where there is one, with the stream led to nowhere: Python's own flush at exit
    finds nothing that cannot be written, and leaves the exit status as it is.
    """
    if stream is None:  # as it is where it was closed before the start
        return None
    try:
        stream.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return error
    return None
