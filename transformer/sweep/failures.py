"""failures.json in the folder of a sweep: which of its runs failed, and why. No torch."""

import json
from os.path import isfile
from pathlib import Path

from transformer.system.errors import UserError
from transformer.system.files import read_utf8

FAILURES = Path("failures.json")


def read_failures(sweep: Path) -> dict[str, str]:
    """The reasons by the names of the trials; none for a folder that is no sweep.

    Raises: UserError for a damaged file.
    """
    path = sweep / FAILURES
    if not isfile(path):
        return {}
    try:
        return {
            str(name): str(reason)
            for name, reason in json.loads(read_utf8(path, "list of failures")).items()
        }
    except (ValueError, AttributeError):
        raise UserError(f"{path}: damaged: delete it, and failed runs are tried again") from None
