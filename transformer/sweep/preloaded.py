"""Imports what training needs, in the process that those of a sweep are copies of."""

from transformer.system.lean_imports import import_lightning

import_lightning()

from transformer.run import assembly as assembly  # noqa: E402
