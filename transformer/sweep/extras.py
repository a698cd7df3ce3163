"""The package that only the search `tpe` needs. Imports it not."""

from importlib.util import find_spec

from transformer.system.errors import UserError


def check_optuna() -> None:
    """Raises: UserError if Optuna is not installed, with how to install it."""
    try:
        found = find_spec("optuna")
    except ValueError:  # as for a module that was taken away
        found = None
    if found is None:
        raise UserError(
            "the search tpe needs the package optuna: pip install -r requirements-sweep.txt, "
            "or give --search random"
        )
