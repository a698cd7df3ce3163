"""The text of the model that a run starts from: replayed, and scored to see what is forgotten."""

import logging
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from transformer.config.groups import taken
from transformer.config.keys import Config
from transformer.data.reading import is_large, read_text_corpus
from transformer.data.sources.settings import in_words
from transformer.data.text.corpus import Corpus
from transformer.data.text.settings import TextSettings
from transformer.data.tokenizer_choice import TokenizerChoice
from transformer.run.starting import read_start
from transformer.storage.model_file import read_corpus_facts
from transformer.system.errors import UserError
from transformer.system.processes import is_rank_0

_RECORD = "old_text"  # among the facts of a corpus, in a model's file

log = logging.getLogger(__name__)


def with_old_text(config: Config, corpus: Corpus, resume: Path | None) -> Corpus:
    """The corpus, and the old text, if it is still there and is another one.

    Raises: UserError if it is needed and is missing, or is not the one of the run to `resume`.
    """
    if config.start_from is None:
        return corpus
    record = read_corpus_facts(resume).get(_RECORD) if resume else _record_of_start(config)
    needed = bool(config.old_data_path or config.replay_fraction)
    if record is None or record.get("sha256") == corpus.sha256:
        if config.replay_fraction:
            raise UserError(
                "replay_fraction needs the text of the model of start_from, which is not another "
                "one: give its path as `old_data_path`, or leave out replay_fraction"
            )
        return corpus
    try:
        old = _read(record, corpus, config)
    except UserError as error:
        if needed:
            raise
        if is_rank_0():
            log.info("no old_val_loss: %s", error)
        return corpus
    facts = {**corpus.facts, _RECORD: {**record, "sha256": old.sha256}}
    corpus = replace(corpus, facts=facts, old_val=old.val)
    return corpus.with_replay(old, config.replay_fraction) if config.replay_fraction else corpus


def _record_of_start(config: Config) -> dict[str, Any] | None:
    """Where the old text is, and how it is read; its sha256, if it must be the model's own."""
    saved = read_start(str(config.start_from))
    settings = taken(TextSettings, {"block_size": 1, "tokenizer": ""} | saved.config)
    if config.old_data_path is not None:
        own = config.old_data_path == saved.config.get("data_path")
        settings = settings if own else settings.for_other_data()
        return {"data_path": config.old_data_path, "settings": asdict(settings)}
    if "data_path" not in saved.config or "sha256" not in saved.corpus:
        return None
    found = {"data_path": saved.config["data_path"], "sha256": saved.corpus["sha256"]}
    return found | {"settings": asdict(settings)}


def _read(record: Mapping[str, Any], corpus: Corpus, config: Config) -> Corpus:
    """Raises: UserError if it is not there, or has changed."""
    path, own = record["data_path"], config.group(TextSettings)
    settings = TextSettings(**record["settings"])
    settings = replace(settings, token_files_from_mb=own.token_files_from_mb)
    both = ((path, settings), (config.data_path, own))
    if config.replay_fraction and any(is_large(*one, build=False) for one in both):
        raise UserError(
            "replay_fraction is for texts that fit in memory, and not for token files: give a "
            "larger `token_files_from_mb`, or leave out replay_fraction"
        )
    choice = TokenizerChoice(
        tokenizer="the model's", recall=lambda: corpus.tokenizer, cache_dir=config.cache_dir
    )
    old = read_text_corpus(path, settings, choice, build=False)
    if record.get("sha256") not in (None, old.sha256):
        raise UserError(
            f"{in_words(path)}: is not the text that the model of start_from was trained on: "
            "restore it, or give the old text as `old_data_path`"
        )
    old.check_length(config.block_size, settings.val_fraction, in_words(path))
    return old
