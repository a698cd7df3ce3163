"""The package that only the search `tpe` needs. Imports it not."""

from importlib.util import find_spec

from transformer.system.errors import UserError


def check_optuna() -> None:
    """Raises: UserError if Optuna is not installed, with how to install it."""
    if find_spec("optuna") is None:
        raise UserError(
            "the search tpe needs the package optuna: pip install -r requirements-sweep.txt, "
            "or give --search random"
        )
