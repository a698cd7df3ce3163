"""Look at a corpus before training, and say what is odd in it: `python prepare.py my_books/`.

It changes none of your files.
"""

import json
from collections import Counter

from transformer.config.flags import FlagParser, add_flags, check_flags, given_flags
from transformer.data.sources.reading import read_documents
from transformer.data.sources.settings import Reading, in_words
from transformer.inspection.corpus_findings import look
from transformer.inspection.corpus_options import PrepareOptions
from transformer.system.terminal import run_script, with_flags_in_errors


@with_flags_in_errors()
def main(argv: list[str] | None = None) -> int:
    parser = FlagParser(prog="prepare.py", description="Look at a corpus before training on it.")
    parser.add_argument("data_path", nargs="+", help="a file, a folder, a pattern, or several")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_flags(parser, PrepareOptions)
    arguments = parser.parse(argv)
    options = check_flags(PrepareOptions, given_flags(arguments, PrepareOptions))
    read = read_documents(arguments.data_path, Reading(**dict(options)))
    documents = read.every
    findings = look(documents)
    facts = {
        "data_path": in_words(arguments.data_path),
        "files": read.num_files,
        "documents": len(documents),
        "characters": sum(len(document.text) for document in documents),
        "symbols": len(Counter(symbol for document in documents for symbol in set(document.text))),
        "findings": [finding._asdict() for finding in findings],
    }
    if arguments.json:
        print(json.dumps(facts, indent=2))
        return 0
    print(
        f"{facts['data_path']}: {facts['characters']:,} characters, {facts['symbols']:,} symbols, "
        f"{facts['documents']:,} documents in {facts['files']:,} files{read.faults.note}"
    )
    for finding in findings:
        print(f"\n{finding.kind}: {finding.number:,} {finding.what}")
        for place in finding.places:
            print(f"  {place}")
        print(f"  -> {finding.advice}")
    if not findings:
        print("nothing odd was found")
    return 0


if __name__ == "__main__":
    run_script(main)
