"""Packages that only some uses of the program need. Imports none of them."""

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from transformer.system.errors import UserError


def installed(package: str) -> str | None:
    """The version of a package; None if it is not installed."""
    try:
        if find_spec(package) is None:
            return None
    except ValueError:  # a module in sys.modules that has been taken away
        return None
    try:
        return version(package)
    except PackageNotFoundError:
        return "of unknown version"


def check_installed(use: str, packages: tuple[str, ...], way_out: str) -> None:
    """Raises: UserError for the first package that is missing and that `use` needs."""
    for package in packages:
        if installed(package) is None:
            raise UserError(f"{use} needs the package {package}: {way_out}")
