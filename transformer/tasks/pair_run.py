"""A run that trains on pairs."""

import re
from dataclasses import asdict
from types import MappingProxyType
from typing import Any

from transformer.config.keys import Config
from transformer.data.order import sampled_windows
from transformer.data.pairs.datamodule import PairDataModule
from transformer.data.pairs.reading import Pairs
from transformer.data.pairs.settings import PairSettings
from transformer.evaluation.loss import mean_loss
from transformer.evaluation.pairs import score_translations
from transformer.generation.translation import Translator
from transformer.models.base import SequenceModel
from transformer.models.encoder_decoder import EncoderDecoder
from transformer.tasks.task_run import TaskRun
from transformer.training.callbacks.showing import Shown
from transformer.training.pair_module import PairModule

# Sources that are translated at every validation; the limit in tokens allows fewer long ones.
MOST_TRANSLATED = 1000
MOST_TRANSLATED_TOKENS = 20_000
NUM_SHOWN = 10  # of these sources


class PairRun(TaskRun):
    module = PairModule
    announced = ("val_loss", "val_word_error_rate")
    shapes_vary = True
    shows_scores = True
    charts = MappingProxyType({"error rates": ["val_word_error_rate", "val_unit_error_rate"]})

    def __init__(self, config: Config, pairs: Pairs, num_workers: int) -> None:
        self.data = PairDataModule(
            str(config.data_path),
            batch_size=config.batch_size,
            num_workers=num_workers,
            seed=config.seed,
            endless=True,
            pairs=pairs,
            **asdict(config.group(PairSettings)),
        )
        self.config = config
        self.pairs = pairs
        self.tokens_per_example = self.data.num_train_tokens / self.data.num_examples
        self.largest_shapes = self.data.batch_shapes(1.0)
        self.typical_shapes = self.data.batch_shapes(0.5)
        self.corpus_facts = pairs.facts
        answers = list(pairs.answers(self.data.splits.val).items())
        most = min(MOST_TRANSLATED, round(MOST_TRANSLATED_TOKENS / self.tokens_per_example))
        chosen = sampled_windows(len(answers), max(most, NUM_SHOWN))
        self.answers = dict(answers[number] for number in chosen)
        split = self.data.tokenizer.target.split
        self.longest = max(len(split(text)) for texts in self.answers.values() for text in texts)
        # For each row, a step of the decoder costs one token; each source is also read once more.
        self.shown_tokens = 2 * round(len(self.answers) * self.tokens_per_example)
        # 2 for float32; in it, 1 for the loss, and 2 for the translations as above.
        self.score_tokens = 2 * (1 + 2) * self.data.num_val_tokens

    def introduction(self) -> str:
        splits, sizes = self.data.splits, self.data.sizes
        skipped, padding = self.pairs.num_skipped, self.data.padding_fraction()
        num_files = 1 + sum(map(bool, self.pairs.own))
        return (
            f"{self.config.data_name}: {len(self.pairs.sources):,} pairs"
            f"{f' in {num_files} files' if num_files > 1 else ''}"
            f"{f', {skipped:,} bad lines left out' if skipped else ''}{self.pairs.note}"
            f"{self.pairs.note_of_copies}; "
            f"{len(splits.train):,} to train on, {len(splits.val):,} for validation, "
            f"{len(splits.test):,} for testing; vocabularies of {sizes['source_vocab_size']} and "
            f"{sizes['vocab_size']}; padding is {padding:z.1%} of a batch"
        )

    def show(self, model: SequenceModel) -> Shown:
        """Translates validation sources greedily: error rates, examples, a map of attention."""
        from transformer.inspection.attention_figures import (  # matplotlib is slow
            as_image,
            cross_attention_figure,
        )

        assert isinstance(model, EncoderDecoder)
        translations = self._translations(model, list(self.answers))
        first = list(zip(self.answers, translations, strict=True))[:NUM_SHOWN]
        scalars = self._rates(translations, self.answers)
        source, translation = max(first, key=lambda pair: len(pair[0]))
        figure = cross_attention_figure(model, self.data.tokenizer, source, translation)
        return Shown(self._listed(first), scalars, {"cross_attention": as_image(figure)})

    def examples(self, model: SequenceModel) -> str:
        assert isinstance(model, EncoderDecoder)
        first = list(self.answers)[:NUM_SHOWN]
        return self._listed(list(zip(first, self._translations(model, first), strict=True)))

    def _translations(self, model: EncoderDecoder, sources: list[str]) -> list[str]:
        return Translator(model, self.data.tokenizer).translate(
            sources,
            max_new_tokens=self.longest + 1,  # a longer one is wrong anyway
        )

    def _listed(self, translations: list[tuple[str, str]]) -> str:
        """One line per translation; a wrong one is followed by one of the right answers."""
        return "\n".join(
            f"{source} -> {translation}"
            + f"   ({self.answers[source][0]})" * (translation not in self.answers[source])
            for source, translation in translations
        )

    def score(self, model: SequenceModel) -> dict[str, Any]:
        """Scores the validation split; a run never uses the test split."""
        assert isinstance(model, EncoderDecoder)
        answers = self.pairs.answers(self.data.splits.val)
        translations = Translator(model, self.data.tokenizer).translate(list(answers))
        loss = mean_loss(model, self.data.every_val_batch())[0]
        return {"val_loss": loss} | self._rates(translations, answers)

    def _rates(self, translations: list[str], answers: dict[str, list[str]]) -> dict[str, float]:
        rates = score_translations(self.data.tokenizer, translations, answers).rates
        return {
            "val_word_error_rate": rates.word_error_rate,
            "val_unit_error_rate": rates.unit_error_rate,
        }

    def headline(self, summary: dict[str, Any]) -> str:
        words, units = summary["val_word_error_rate"], summary["val_unit_error_rate"]
        return (
            f"val_loss {summary['val_loss']:z.4f}, {words:.2%} of sources wrong, "
            f"{units:.2%} of their units"
        )

    def prompt(self, shown: str) -> str:
        word = shown.split(" -> ")[0]
        return word if re.fullmatch(r"\w+", word) else ""
