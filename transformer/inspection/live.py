"""The page that runs a model, opened at the prompt of explain.py."""

from transformer.data.tokenizers.pairs import PairTokenizer
from transformer.inspection.options import ExplainOptions
from transformer.pages.live.packing import INT8
from transformer.pages.live.page import check_size, live_page
from transformer.storage.saved_model import SavedModel


def live_explanation(saved: SavedModel, prompt: str, options: ExplainOptions) -> str:
    """Raises: UserError for unknown units of the prompt, and for a page that is too large."""
    tokenizer = saved.tokenizer
    if not options.skip_unknown:  # else the page names them, and leaves them out
        (tokenizer.source if isinstance(tokenizer, PairTokenizer) else tokenizer).encode(prompt)
    ways = "leave out `live`, or write it with `python export.py --to html --force`"
    check_size(saved, INT8, ways=ways)
    return live_page(saved, prompt=prompt, view="explain")
