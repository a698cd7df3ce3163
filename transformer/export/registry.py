"""The table of formats: every `Format` class in the folder `formats`. Imports no torch."""

from transformer.export import formats
from transformer.export.formats.base import Format
from transformer.system.registry import classes_in

FORMATS: dict[str, type[Format]] = {kind.name: kind for kind in classes_in(formats, Format)}
