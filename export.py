"""Write a model as another program reads it: `python export.py --to huggingface --out my_model/`.

If that program is installed, it loads the model again, and logits, text and token ids are compared.
"""

from transformer.config.flags import FlagParser, add_checkpoint, add_flags, check_flags, given_flags
from transformer.export.formats.base import WAY_OUT
from transformer.export.options import ExportOptions
from transformer.export.registry import FORMATS
from transformer.storage.run_folder import find_model
from transformer.system.packages import check_installed
from transformer.system.signals import ended_at_once
from transformer.system.terminal import run_script, say_loading, tell, with_flags_in_errors


@with_flags_in_errors()
def main(argv: list[str] | None = None) -> int:
    parser = FlagParser(prog="export.py", description="Write a model for another program.")
    add_checkpoint(parser)
    add_flags(parser, ExportOptions)
    arguments = parser.parse(argv)
    options = check_flags(ExportOptions, given_flags(arguments, ExportOptions))
    kind = FORMATS[options.to](options)
    place = kind.place(options.out, force=options.force)
    path = find_model(arguments.checkpoint, options.runs_dir)
    place.check()
    check_installed(f"`to={kind.name}`", kind.packages, WAY_OUT)
    say_loading(path)
    with ended_at_once():
        from transformer.export.exporting import export
        from transformer.storage.model_file import load_model

        saved = load_model(path)
    for line in export(saved, kind, place):
        tell(line)
    return 0


if __name__ == "__main__":
    run_script(main)
