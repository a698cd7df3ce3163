"""Which task a config asks for. Imports torch only where the task is made."""

from typing import TYPE_CHECKING

from transformer.config.keys import Config
from transformer.data.pairs.reading import Pairs, read_pairs
from transformer.data.text.corpus import Corpus, check_length
from transformer.tasks.prompts import choose_prompt

if TYPE_CHECKING:
    from transformer.tasks.base import Task


def read_corpus(config: Config, *, build: bool = True) -> Corpus | Pairs:
    """With `build`, as for a new run, a built-in corpus that is missing is built.

    Raises: UserError for data that is missing, not UTF-8, malformed or too short.
    """
    if config.model == "encoder_decoder":
        keys = ("block_size", "source_units", "target_units", "skip_bad_lines", "shared_vocabulary")
        settings = {key: getattr(config, key) for key in keys}
        pairs = read_pairs(config.data_path, **settings, build=build)
        pairs.check_splits(config.val_fraction, config.test_fraction)
        return pairs
    corpus = Corpus.from_file(config.data_path, build=build)
    check_length(len(corpus.tokens), config.val_fraction, config.block_size, config.data_path)
    return corpus


def settle(config: Config, corpus: Corpus | Pairs) -> Config:
    """The config with what only its corpus can say: how samples of a text begin."""
    if isinstance(corpus, Pairs):
        return config
    prompt = choose_prompt(config.sample_prompt, corpus, config.data_path)
    return config.model_copy(update={"sample_prompt": prompt})


def make_task(config: Config, corpus: Corpus | Pairs, num_workers: int) -> "Task":
    if isinstance(corpus, Pairs):
        from transformer.tasks.pairs import PairTask

        return PairTask(config, corpus, num_workers)
    from transformer.tasks.text import TextTask

    return TextTask(config, corpus, num_workers)
