"""Checks the fractions by which data is split. Imports no torch."""

from transformer.system.errors import UserError


def check_fractions(val_fraction: float, test_fraction: float) -> None:
    """Raises: UserError if they leave no training split."""
    if val_fraction + test_fraction >= 1:
        raise UserError(
            "val_fraction + test_fraction must be less than 1, got "
            f"val_fraction={val_fraction:g} and test_fraction={test_fraction:g}"
        )
