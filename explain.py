"""Write a page that explains how a model reads a text: `python explain.py --prompt "ROMEO:"`.

The page needs no network. With `--live`, it runs the model itself, on any text. With
`--out attention.png`, a picture of every head is written instead.
"""

from typing import TYPE_CHECKING

from transformer.config.flags import FlagParser, add_checkpoint, add_flags, check_flags, given_flags
from transformer.export.places import FilePlace
from transformer.inspection.options import ExplainOptions
from transformer.storage.run_folder import find_model
from transformer.system.files import read_text
from transformer.system.signals import ended_at_once
from transformer.system.terminal import run_script, say_loading, with_flags_in_errors
from transformer.tasks.registry import task_of

if TYPE_CHECKING:
    from transformer.storage.saved_model import SavedModel


@with_flags_in_errors()
def main(argv: list[str] | None = None) -> int:
    parser = FlagParser(
        prog="explain.py",
        description="Write a page with a model's surprise at each token and its attention.",
    )
    add_checkpoint(parser)
    add_flags(parser, ExplainOptions)
    arguments = parser.parse(argv)
    options = check_flags(ExplainOptions, given_flags(arguments, ExplainOptions))
    path = find_model(arguments.checkpoint, options.runs_dir)
    prompt = options.prompt
    if options.prompt_file:
        prompt = read_text(options.prompt_file, "prompt file")[0]
    place = FilePlace(options.out, force=True)
    place.check()
    say_loading(path)
    with ended_at_once():
        from transformer.storage.model_file import load_model

        saved = load_model(path)
    task_of(saved.architecture["model"]).check(options)
    content, said = (_live if options.live else _explained)(saved, prompt, options)
    with place.writing() as temporary:
        temporary.write_bytes(content)
    print(f"{options.out}: {said}")
    return 0


def _live(saved: "SavedModel", prompt: str, options: ExplainOptions) -> tuple[bytes, str]:
    """The page that runs the model, and its size in words."""
    from transformer.inspection.live import live_explanation

    page = live_explanation(saved, prompt, options).encode()
    return page, f"{len(page) / 1e6:,.2f} MB; it runs the model in a browser"


def _explained(saved: "SavedModel", prompt: str, options: ExplainOptions) -> tuple[bytes, str]:
    """The page or the picture of the prompt, and its surprise in words."""
    explained = task_of(saved.architecture["model"]).explain(saved, prompt, options)
    if options.out.lower().endswith(".png"):
        from transformer.inspection.attention_picture import as_png

        content = as_png(explained.explanation)
    else:
        from transformer.inspection.page import as_page

        parts = {"num_written": explained.num_written, "cut": explained.cut}
        content = as_page(explained.explanation, model=str(saved.path), **parts).encode()
    units = f"{explained.explanation.word}s"
    mean, per_byte = explained.explanation.mean_surprise, explained.explanation.mean_per_byte
    surprise = "" if mean is None else f", {mean:z.4f} bits of surprise on average"
    surprise += "" if per_byte is None else f", {per_byte:z.4f} bits per byte"
    return content, f"{len(explained.explanation.units):,} {units}{surprise}"


if __name__ == "__main__":
    run_script(main)
