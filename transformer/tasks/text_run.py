"""A run that trains on a text."""

import re
from functools import partial
from types import MappingProxyType
from typing import Any

from transformer.config.keys import Config
from transformer.data.placed_texts import PlacedText
from transformer.data.text.corpus import Corpus
from transformer.data.text.datamodule import CharacterDataModule
from transformer.data.text.settings import TextSettings
from transformer.decoding.settings import TEMPERATURE
from transformer.evaluation.copying.search import find_copied
from transformer.evaluation.text import score_model
from transformer.generation.text import TextGenerator
from transformer.inspection.validation_pictures import ValidationPictures
from transformer.models.base import SequenceModel, TokenModel
from transformer.tasks.task_run import TaskRun
from transformer.training.callbacks.showing import Shown
from transformer.training.lightning_module import LanguageModule

SAMPLE_TOKENS = 300
# Decoding one token alone takes at most about as long as this number of tokens in a batch.
TOKENS_OF_A_STEP = 100
SEARCHED_TOKENS = 10**7
COPIED = 20  # characters; shorter passages are copied by chance
LEAST_SYMBOLS = 6  # different ones, in a passage that a sample may have copied


def longest_copied(text: str, others: str) -> int:
    """The number of characters of the longest passage of `text` that is also in `others`.

    0 if it is shorter than COPIED. Rulers, such as lines of dashes, do not count.
    """
    (passages,) = find_copied([text], [PlacedText(others)], COPIED)
    found = (one for one in passages if len(set(text[one.start : one.end])) >= LEAST_SYMBOLS)
    return max((one.length for one in found), default=0)


class TextRun(TaskRun):
    module = LanguageModule
    shapes_vary = False
    shows_scores = False
    charts = MappingProxyType(
        {"bits per character": ["val_bits_per_char"], "bits per byte": ["val_bits_per_byte"]}
    )

    def __init__(self, config: Config, corpus: Corpus, num_workers: int) -> None:
        self.data = CharacterDataModule(
            config.data_path,
            block_size=config.block_size,
            batch_size=config.batch_size,
            stride=config.stride,
            val_fraction=config.val_fraction,
            test_fraction=config.group(TextSettings).test_fraction,
            tokenizer=config.tokenizer,
            vocab_size=config.vocab_size,
            min_frequency=config.min_frequency,
            num_workers=num_workers,
            seed=config.seed,
            endless=True,
            corpus=corpus,
            val_max_tokens=config.val_max_tokens,
        )
        self.config = config
        self.corpus = corpus
        self.tokens_per_example = float(config.block_size)
        self.largest_shapes = self.typical_shapes = [(config.batch_size, config.block_size)] * 2
        self.corpus_facts = dict(corpus.facts)
        self.announced = ("val_loss", f"val_bits_per_{corpus.tokenizer.bits_per}", "old_val_loss")
        if corpus.old_val is not None:
            self.old_loss = partial(self._loss_on, corpus.old_val)
        self.shown_tokens = SAMPLE_TOKENS * TOKENS_OF_A_STEP
        most = self.data.most_scored_tokens
        lengths = (self.data.num_val_tokens, len(self.data.test_tokens))
        self.score_tokens = 2 * sum(min(length, most) for length in lengths)
        self._pictures: ValidationPictures | None = None

    def introduction(self) -> str:
        return (
            f"{self.config.data_name}: {self.corpus.facts['num_characters']:,} characters, "
            f"{self.corpus.tokenizer.described(len(self.corpus.tokens))}{self.corpus.note}"
        )

    def show(self, model: SequenceModel) -> Shown:
        """A sample, and pictures of the attention to the beginning of the validation split."""
        assert isinstance(model, TokenModel)
        if not model.has_attention:
            return Shown(self.examples(model))
        if self._pictures is None:
            self._pictures = ValidationPictures(model, self.corpus.tokenizer, self.data.val_tokens)
        return Shown(self.examples(model), images=self._pictures.draw(model))

    def examples(self, model: SequenceModel) -> str:
        assert isinstance(model, TokenModel)
        (text,) = TextGenerator(model, self.corpus.tokenizer).generate(
            self.config.sample_prompt,
            max_new_tokens=SAMPLE_TOKENS,
            temperature=TEMPERATURE,
            seed=self.config.seed,
        )
        return text

    def copied(self, shown: str) -> int:
        """Without the prompt, which is from the text. A long text is not searched."""
        if self.corpus.num_train > SEARCHED_TOKENS:
            return 0
        train = self.corpus.tokenizer.decode(self.corpus.train)
        return longest_copied(shown.removeprefix(self.config.sample_prompt.strip()), train)

    def _loss_on(self, tokens: Any, model: SequenceModel) -> float:
        """In nats per token, on as many of them as a validation reads."""
        assert isinstance(model, TokenModel)
        most = max(self.data.looked_at_tokens, model.block_size)
        return score_model(model, tokens, self.data.tokenizer, most).loss

    def score(self, model: SequenceModel) -> dict[str, Any]:
        assert isinstance(model, TokenModel)
        scores = self._scored(model, "val", self.data.val_tokens)
        if len(self.data.test_tokens):
            scores |= self._scored(model, "test", self.data.test_tokens)
        if self.corpus.old_val is not None:
            scores |= self._scored(model, "old_val", self.corpus.old_val)
        return scores

    def _scored(self, model: TokenModel, split: str, tokens: Any) -> dict[str, Any]:
        most = self.data.most_scored_tokens
        score = score_model(model, tokens, self.data.tokenizer, most)
        values: dict[str, Any] = {
            "loss": score.loss,
            "bits_per_char": score.bits_per_char,
            "bits_per_byte": score.bits_per_byte,
        }
        if score.num_scored < len(tokens) - 1:
            values["scored_tokens"] = score.num_scored
        return {f"{split}_{name}": value for name, value in values.items() if value is not None}

    def headline(self, summary: dict[str, Any]) -> str:
        """In bits per character for a tokenizer of characters, and else in bits per byte."""
        unit = self.corpus.tokenizer.bits_per
        bits, word = summary[f"val_bits_per_{unit}"], {"char": "character"}.get(unit, unit)
        test = f", test_loss {summary['test_loss']:z.4f}" if "test_loss" in summary else ""
        part = ""
        if "val_scored_tokens" in summary:
            scored, total = summary["val_scored_tokens"], self.data.num_val_tokens
            part = f" of {scored:,} of the {total:,} tokens for validation"
        return f"val_loss {summary['val_loss']:z.4f} ({bits:z.4f} bits per {word}){part}{test}"

    def prompt(self, shown: str) -> str:
        """sample_prompt, if every shell can quote it; otherwise the first word that was shown."""
        prompt = self.config.sample_prompt.strip()
        if re.fullmatch(r"[\w ,.:-]+", prompt):  # needs no escapes between quotes
            return prompt
        word = re.search(r"\w{1,20}:?", shown)
        return word[0] if word else ""
