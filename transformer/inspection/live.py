"""The page that runs a model, opened at the prompt of explain.py."""

from transformer.data.tokenizers.pairs import PairTokenizer
from transformer.inspection.options import ExplainOptions
from transformer.pages.live.packing import INT8
from transformer.pages.live.page import MOST_BYTES, live_page, size_of
from transformer.storage.saved_model import SavedModel
from transformer.system.errors import UserError


def live_explanation(saved: SavedModel, prompt: str, options: ExplainOptions) -> str:
    """Raises: UserError for unknown units of the prompt, and for a page that is too large."""
    tokenizer = saved.tokenizer
    if not options.skip_unknown:  # else the page names them, and leaves them out
        (tokenizer.source if isinstance(tokenizer, PairTokenizer) else tokenizer).encode(prompt)
    size = size_of(saved, INT8)
    if size > MOST_BYTES:
        raise UserError(
            f"the page would have about {size / 1e6:,.0f} MB, more than {MOST_BYTES / 1e6:.0f}: "
            "leave out `live`, or write it with `python export.py --to html --force`"
        )
    return live_page(saved, prompt=prompt, view="explain")
