"""The result of a run: summary.json, and the last lines that the run prints."""

import json
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from transformer.models.base import SequenceModel
from transformer.run.callbacks import finished
from transformer.run.coach import advice
from transformer.run.parts import Run
from transformer.run.reports import conclusion, run_facts
from transformer.storage.model_file import load_model, save_model
from transformer.storage.run_folder import SUMMARY, WEIGHTS
from transformer.system.files import write_text
from transformer.system.shell import flag, quoted


def summarize(run: Run, trainer: pl.Trainer) -> tuple[dict[str, Any], SequenceModel]:
    """Writes summary.json: the exact loss of the best weights and the facts of the run."""
    weights = run.folder / WEIGHTS
    run.module.free_weights()
    best = load_model(weights)
    # A model that was sharded may not fit on one device, which still holds its shards too.
    device = "cpu" if run.config.strategy == "fsdp" else trainer.strategy.root_device
    model = best.model.to(device)
    summary = {
        **run.task.score(model),
        "best_step": best.results["best_step"],
        "num_parameters": model.num_parameters,
        **run_facts(trainer, run.throughput),
        "corpus_sha256": run.task.corpus_facts["sha256"],
    }
    if run.keeper is not None:  # the folder may have gone while the score was computed
        run.keeper.keep(trainer.global_step)
    save_model(weights, model, run.module.metadata | {"results": summary})
    write_text(run.folder / SUMMARY, json.dumps(summary, indent=2) + "\n")  # last: marks the end
    return summary, model


def last_lines(run: Run, summary: dict[str, Any], model: SequenceModel) -> str:
    """The result, advice, samples of the best weights, and commands to run next."""
    best_step = summary["best_step"]
    shown = (run.shown_texts.get(best_step) or run.task.examples(model)).strip()
    word = run.task.prompt(shown)
    prompt = flag("prompt", word) if word else ""
    lines = [f"\n{conclusion(run.task.headline(summary), summary)}"]
    best = best_step, summary["val_loss"]
    lines += map(str, advice(finished(run, summary["step"], run.task.copied(shown), best)))
    lines.append(f"\n{shown}\n\nnext:")
    lines.append(f"  python generate.py {quoted(run.folder / WEIGHTS)}{prompt}")
    home = Path(run.config.runs_dir)
    if home.absolute() not in run.folder.absolute().parents:  # a run that was moved
        home = run.folder
    lines.append(f"  tensorboard --logdir {quoted(home)}")
    return "\n".join(lines)
