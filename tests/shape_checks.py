"""The shapes in the signatures of the package, checked at each call while the tests run.

`--jaxtyping-packages` in pyproject.toml asks for it. What is here makes it faster: jaxtyping's own
way was half of the time of many tests.
"""

from collections.abc import Callable, Hashable
from functools import cache, partial, wraps
from importlib.machinery import SourceFileLoader
from inspect import isgeneratorfunction
from types import CodeType, FunctionType
from typing import Any, ForwardRef, Literal, get_args, get_origin
from unittest.mock import patch

import jaxtyping
import jaxtyping._import_hook as hook
from beartype import BeartypeConf

PLAIN = (bool, int, float, str, bytes, type(None))
OPAQUE: set[type] = set()  # types of values of which a check sees the type alone
MOST_ITEMS = 8  # of a list or a tuple that is looked at item by item


def parts(hint: Any) -> list[Any]:
    """What a hint is made of."""
    if get_origin(hint) is Literal:
        return []
    inner = hint if isinstance(hint, list) else get_args(hint)
    return [part for item in inner for part in parts(item)] or [hint]


def has_a_shape(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, jaxtyping.AbstractArray)


def kind(value: Any) -> Hashable:
    """All that a check sees of a value. Equal to no other kind where that would be much."""
    of = type(value)
    if of in OPAQUE:
        return of
    if of in PLAIN:
        return of, value
    if hasattr(value, "shape"):
        return of, value.shape, value.dtype
    if isinstance(value, list | tuple) and len(value) <= MOST_ITEMS:
        return of, *map(kind, value)
    if hasattr(value, "__len__") or hasattr(value, "__next__"):
        return object()
    OPAQUE.add(of)
    return of


def jaxtyped(*, typechecker: Callable[..., Any], whole: Any = jaxtyping.jaxtyped) -> Callable:
    """jaxtyping's own decorator, but faster where that is possible.

    It checks the arguments twice, to say whether they or what is returned is wrong; and where no
    hint has a shape, too; and again where arguments of these kinds were found right before.
    """

    def decorate(item: Any) -> Any:
        if not isinstance(item, FunctionType) or isgeneratorfunction(item):
            return whole(item, typechecker=typechecker)
        hints = [part for hint in item.__annotations__.values() for part in parts(hint)]
        if any(isinstance(hint, str | ForwardRef) for hint in hints):  # jaxtyping knows how
            return whole(item, typechecker=typechecker)
        checker = partial(typechecker, conf=BeartypeConf(violation_type=jaxtyping.TypeCheckError))
        if not any(map(has_a_shape, hints)):
            return checker(item)
        return remembering(item, checker, lambda: whole("context"))

    return decorate


def remembering(
    item: FunctionType, checker: Callable[..., Any], context: Callable[[], Any]
) -> Callable:
    """The function with its checks, but not again for kinds of arguments that were found right."""
    checked = checker(item)
    right: dict[Hashable, set[Hashable]] = {}  # what was returned, by what was given
    returned: list[Any] = []

    @cache
    def checked_again() -> Callable[..., Any]:
        return checker(wraps(item)(lambda *_, **__: returned.pop()))

    @wraps(item)
    def within(*arguments: Any, **named: Any) -> Any:
        if jaxtyping.config.jaxtyping_disable:
            return item(*arguments, **named)
        given = tuple(map(kind, arguments)), tuple(named), tuple(map(kind, named.values()))
        if given not in right:
            with context():
                result = checked(*arguments, **named)
            right[given] = {kind(result)}
            return result
        result = item(*arguments, **named)
        found = kind(result)
        if found not in right[given]:
            returned.append(result)
            with context():
                checked_again()(*arguments, **named)
            right[given].add(found)
        return result

    return within


def get_code(loader: hook._JaxtypingLoader, name: str) -> CodeType | None:
    """From bytecode of jaxtyping's own name.

    jaxtyping goes by that name until the module's imports are done: torch and Lightning, imported
    by the package, then find no bytecode, and are compiled anew in each worker.
    """
    renamed = partial(hook._optimized_cache_from_source, loader._typechecker.get_hash())
    with patch("importlib._bootstrap_external.cache_from_source", renamed):
        return SourceFileLoader.get_code(loader, name)


def install() -> None:
    jaxtyping.jaxtyped = jaxtyped  # --jaxtyping-packages puts it on every function of the package
    hook._JaxtypingLoader.exec_module = SourceFileLoader.exec_module
    hook._JaxtypingLoader.get_code = get_code
