"""Look at a corpus before training, and say what is odd in it: `python prepare.py my_books/`.

It changes none of your files. With `--tokenizer`, it makes the token files of a large corpus.
"""

import json
from pathlib import Path
from typing import Any

from transformer.config.drafts import Draft, read_draft
from transformer.config.flags import FlagParser, add_flags, check_flags, given_flags
from transformer.data.reading import is_large
from transformer.export.places import FilePlace
from transformer.inspection.corpus.options import CORPUS_KEYS, PrepareOptions
from transformer.inspection.corpus.page import as_page, check_place
from transformer.inspection.corpus.report import look_at
from transformer.run.ahead import tokenize
from transformer.system.errors import UserError, in_flags
from transformer.system.lean_imports import import_lightning
from transformer.system.terminal import run_script, say_loading, tell, with_flags_in_errors

AUTO_CONFIG = Path(__file__).parent / "configs" / "auto.yaml"
LARGE = (
    "to tokenize it ahead, and to see what training for 10 and 60 minutes would bring, give the "
    "tokenizer: --tokenizer bpe"
)


@with_flags_in_errors()
def main(argv: list[str] | None = None) -> int:
    parser = FlagParser(prog="prepare.py", description="Look at a corpus before training on it.")
    parser.add_argument("data_path", nargs="+", help="a file, a folder, a pattern, or several")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_flags(parser, PrepareOptions)
    arguments = parser.parse(argv)
    flags = given_flags(arguments, PrepareOptions)
    options = check_flags(PrepareOptions, flags)
    flags = {key: value for key, value in flags.items() if key in CORPUS_KEYS}
    paths = arguments.data_path
    data_path = paths[0] if len(paths) == 1 else paths
    draft = read_draft(AUTO_CONFIG, {"data_path": data_path, "max_minutes": "10"} | flags)
    draft.base()  # names values that do not go together
    if options.page:
        FilePlace(options.page, force=True).check()
        check_place(options.page, data_path, options.settings.val_path)
    print_line = (lambda text: None) if arguments.json else tell
    report = look_at(data_path, options.settings)
    print_line(report.text)
    facts = report.facts
    facts |= prepared(data_path, options, draft, flags, print_line)
    if options.page:
        page = as_page(report, facts["suggestions"])
        with FilePlace(options.page, force=True).writing() as temporary:
            temporary.write_bytes(page.encode())
        print_line(f"\n{options.page}: open it in a browser")
    if arguments.json:
        print(json.dumps(facts, indent=2))
    return 0


def prepared(data_path: Any, options: PrepareOptions, draft: Draft, flags: Any, tell: Any) -> Any:
    """Makes token files if a tokenizer is given, and plans; what was done, for JSON."""
    facts: dict[str, Any] = {"token_files": None, "suggestions": []}
    large = is_large(data_path, options.settings, build=False)
    if large and "tokenizer" not in flags:
        tell(f"\n{LARGE}")
        return facts
    try:
        if large:
            facts["token_files"] = tokenize(data_path, options.settings, options.choice)
            tell(f"\ntoken files: {facts['token_files']}")
        if options.plan:
            say_loading("PyTorch")
            import_lightning()
            from transformer.run.planning.suggestions import as_table, suggestions

            found = suggestions(draft, data_path, flags)
            facts["suggestions"] = [each.facts for each in found]
            tell(f"\n{as_table(found)}")
    except UserError as error:
        facts["trouble"] = in_flags(str(error))
        tell(f"\ntraining would end with an error: {facts['trouble']}")
    return facts


if __name__ == "__main__":
    run_script(main)
