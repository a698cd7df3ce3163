"""Compute a model's exact loss, beside simple baselines: `python evaluate.py [CHECKPOINT]`.

For an encoder-decoder, compute its error rates on the test split. Several checkpoints are also
scored together, by the mean of their probabilities.
"""

import json

from transformer.config.flags import (
    FlagParser,
    add_checkpoints,
    add_flags,
    check_flags,
    given_flags,
)
from transformer.data.sources.paths import check_paths
from transformer.evaluation.options import EvaluateOptions
from transformer.storage.run_folder import find_models
from transformer.system.terminal import run_script, say_loading, saying_news, with_flags_in_errors
from transformer.tasks.registry import task_of


@with_flags_in_errors()
@saying_news()
def main(argv: list[str] | None = None) -> int:
    parser = FlagParser(
        prog="evaluate.py",
        description="Compute the exact loss of a model on a text, or its error rates on pairs.",
    )
    add_checkpoints(parser)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    add_flags(parser, EvaluateOptions)
    arguments = parser.parse(argv)
    options = check_flags(EvaluateOptions, given_flags(arguments, EvaluateOptions))
    paths = find_models(arguments.checkpoints, options.runs_dir)
    if options.data_path is not None:
        check_paths(options.data_path)  # before torch is imported
    say_loading(" and ".join(map(str, paths)))
    from transformer.storage.averaged import load_models

    saved = load_models(paths)
    task = task_of(saved.architecture["model"])
    task.check(options)
    report = task.evaluate(saved, options)
    print(json.dumps(report.facts, indent=2) if arguments.json else report.table)
    return 0


if __name__ == "__main__":
    run_script(main)
