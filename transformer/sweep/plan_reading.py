"""Checks what stands in a sweep.yaml, as the keys of a config are checked. No torch."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from transformer.config.files import Setting, check, unknown_name
from transformer.config.keys import Config
from transformer.config.types import Boolean, Integer, Number
from transformer.sweep.options import SweepOptions
from transformer.sweep.plan import Plan
from transformer.sweep.planning import PLACES, base_of, check_devices
from transformer.sweep.registry import SEARCHES
from transformer.sweep.searches.each import Each
from transformer.sweep.searches.scaling import ScalingSearch
from transformer.sweep.space import Choice, Range
from transformer.sweep.varying import check_change, check_key, choice_of, range_of, typed
from transformer.system.errors import UserError


def _as_flag(name: str) -> Any:
    """The type of the flag with this name."""
    field = SweepOptions.model_fields[name]
    return Annotated[field.annotation, *field.metadata]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class _PlanFile(_Strict):
    base: dict[Any, Any]
    search: Literal[*SEARCHES]  # pyright: ignore[reportInvalidTypeForm]
    space: dict[Any, Any]
    changes: list[dict[Any, Any]]
    seeds: _as_flag("seeds")  # pyright: ignore[reportInvalidTypeForm]
    runs: _as_flag("runs")  # pyright: ignore[reportInvalidTypeForm]
    minutes: _as_flag("minutes")  # pyright: ignore[reportInvalidTypeForm]
    processes: _as_flag("processes")  # pyright: ignore[reportInvalidTypeForm]
    measured: dict[Any, Any]


class _RangeFile(_Strict):
    low: Any
    high: Any
    log: Boolean
    whole: Boolean


_Count = Annotated[Integer, Field(gt=0)]
_Amount = Annotated[Number, Field(gt=0)]


class _SizeFile(_Strict):
    keys: dict[str, Any]
    weights: _Count
    flops_per_token: _Amount
    max_steps: _Count
    tokens: _Count


class _NextFile(_SizeFile):
    seconds: _Amount


class _MeasuredFile(_Strict):
    """What a scaling law measures before its first run."""

    vocab_size: _Count
    unique_tokens: _Count
    sizes: Annotated[list[_SizeFile], Field(min_length=1)]
    predicted: _NextFile


def plan_of(values: Mapping[str, Any], origin: str) -> Plan:
    """The plan that a sweep.yaml holds; `origin` stands before every error.

    Raises: UserError for a key or a value that no plan has.
    """
    file = _checked(_PlanFile, values, origin)
    base = _base(file.base, f"{origin}: base")
    space = {str(key): _values(str(key), each, origin) for key, each in file.space.items()}
    changes: list[dict[str, Any]] = []
    for change in file.changes:
        found = {str(key): _value(str(key), value, origin) for key, value in change.items()}
        check_change(found, changes, base, f"{origin}: changes: {change}")
        changes.append(found)
    if (file.search == Each.name) != bool(changes) or (space and changes):
        raise UserError(f"{origin}: changes go with search each alone, and space with the others")
    measured = {str(key): value for key, value in file.measured.items()}
    if file.search == ScalingSearch.name:
        _check_measured(measured, f"{origin}: measured")
    return Plan(
        base,
        file.search,
        space,
        tuple(changes),
        file.seeds,
        file.runs,
        file.minutes,
        file.processes,
        measured,
    )


def _base(values: Mapping[Any, Any], origin: str) -> dict[str, Any]:
    settings = {str(key): Setting(value, origin) for key, value in values.items()}
    for key in PLACES:
        if key in settings:
            raise UserError(f"{origin}: {key} is chosen by the sweep: leave it out")
    config = check(Config, settings, origin)
    try:
        check_devices(config)
    except UserError as error:
        raise UserError(f"{origin}: {error}") from None
    return base_of(config)


def _checked(kind: type[Any], values: Mapping[str, Any], origin: str) -> Any:
    for key in values:
        if key not in kind.model_fields:
            known = ", ".join(kind.model_fields)
            raise UserError(
                f"{origin}: {unknown_name('key', key, kind.model_fields, f'known are {known}')}"
            )
    if missing := [name for name in kind.model_fields if name not in values]:
        raise UserError(f"{origin}: {', '.join(missing)} must be given")
    return check(kind, {key: Setting(value, origin) for key, value in values.items()}, origin)


def _values(key: str, values: Any, origin: str) -> Choice | Range:
    origin = f"{origin}: space"
    check_key(key, origin)
    if isinstance(values, list):
        return choice_of(key, [Setting(value, origin) for value in values], f"{origin}: {key}")
    if not isinstance(values, dict):
        raise UserError(f"{origin}: {key} must be a list of values or a range, got {values!r}")
    named = {str(name): value for name, value in values.items()}
    file = _checked(_RangeFile, named, f"{origin}: {key}")
    ends = [Setting(end, origin) for end in (file.low, file.high)]
    found = range_of(key, ends, f"{origin}: {key}", log=file.log)
    if file.whole != found.whole:
        raise UserError(f"{origin}: {key}: whole must be {str(found.whole).lower()} for this key")
    return found


def _value(key: str, value: Any, origin: str) -> Any:
    origin = f"{origin}: changes"
    check_key(key, origin)
    return typed(key, Setting(value, origin))


def _check_measured(measured: Mapping[str, Any], origin: str) -> None:
    file = _checked(_MeasuredFile, measured, origin)
    for size in (*file.sizes, file.predicted):
        for key, value in size.keys.items():
            if key not in Config.model_fields:
                raise UserError(f"{origin}: {unknown_name('key', key, Config.model_fields)}")
            typed(key, Setting(value, origin))
        if missing := [key for key in ("embedding_dim", "num_blocks") if key not in size.keys]:
            raise UserError(f"{origin}: a size has no {missing[0]}")
