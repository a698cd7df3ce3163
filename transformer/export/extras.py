"""The packages that only exports need. Imports none of them."""

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from transformer.system.errors import UserError

WAY_OUT = "pip install -r requirements-export.txt"


def installed(package: str) -> str | None:
    """The version of a package; None if it is not installed."""
    if find_spec(package) is None:
        return None
    try:
        return version(package)
    except PackageNotFoundError:
        return "of unknown version"


def check_installed(name: str, packages: tuple[str, ...]) -> None:
    """Raises: UserError for the first package that is missing, with how to install it."""
    for package in packages:
        if installed(package) is None:
            raise UserError(f"`to={name}` needs the package {package}: {WAY_OUT}")
