"""One export: written, loaded again by the other program, compared, and only then in its place."""

from collections.abc import Iterator

from transformer.export.formats.base import Format
from transformer.export.places import Place
from transformer.storage.saved_model import SavedModel


def export(saved: SavedModel, kind: Format, place: Place) -> Iterator[str]:
    """Writes the model and yields what a person reads; the first line comes when it is in place.

    Raises: UserError for a model that the format cannot hold exactly, and if the other program
    computes something else from it. Then nothing is left at the place but what was there before.
    """
    kind.check(saved)
    with place.writing() as temporary:
        what = kind.write(saved, temporary)
        version = kind.version()
        if version is None:
            compared = (
                f"not compared: {kind.program}, which would load it, is not installed here; to "
                f"compare, {kind.way_out} and export again"
            )
        else:
            figures = kind.compare(saved, temporary, version)
            compared = f"loaded again by {kind.program} {version}: {figures}"
    yield f"{place.path}: {what}"
    yield compared
