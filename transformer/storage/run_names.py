"""Checks the name of a run's folder. No torch."""

from transformer.system.errors import UserError

# Names that Windows reserves for devices, with any ending.
_RESERVED = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"} | {
    device + number for device in ("COM", "LPT") for number in "123456789¹²³"
}
_FORBIDDEN = r'/\:*?"<>|'
_LONGEST_NAME = 255  # bytes; the limit of most file systems


def check_name(name: str, origin: str, way_out: str = "give another `run_name`") -> None:
    """Raises: UserError, with the `origin` of the name, if some operating system refuses it.

    The rules are the same everywhere, so that a run can be copied to another system.
    """
    forbidden = [letter for letter in name if letter in _FORBIDDEN or not letter.isprintable()]
    if not name.strip(" ."):
        reason = "it is empty" if not name else "it is nothing but dots and spaces"
    elif forbidden:
        reason = f"it has a {forbidden[0]!r}"
    elif name[-1] in " .":
        reason = f"it ends with a {name[-1]!r}"
    elif name.split(".")[0].strip().upper() in _RESERVED:
        reason = "Windows reserves it for a device"
    elif len(name.encode("utf-8", "surrogatepass")) > _LONGEST_NAME:
        reason = f"it is longer than {_LONGEST_NAME} bytes"
        name = name[:20] + "..."
    else:
        return
    raise UserError(f"{origin}: a run's folder cannot be named {name!r}: {reason}; {way_out}")
