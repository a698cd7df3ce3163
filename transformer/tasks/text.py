"""The task of a text: to predict its next token. No torch before a model is used."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from transformer.config.keys import Config
from transformer.data.reading import read_text_corpus
from transformer.data.text.corpus import Corpus
from transformer.data.text.settings import TextSettings
from transformer.data.tokenizer_choice import TokenizerChoice
from transformer.tasks.base import Report, Session, Task
from transformer.tasks.prompts import choose_prompt

if TYPE_CHECKING:
    from transformer.evaluation.options import EvaluateOptions
    from transformer.generation.options import GenerateOptions
    from transformer.inspection.options import ExplainOptions
    from transformer.inspection.prompt import Explained
    from transformer.storage.model_file import SavedModel
    from transformer.tasks.text_run import TextRun


class TextTask(Task):
    name = "text"
    noun = "texts"
    monitor = "val_loss"
    averages = True
    metric_of_any_tokens = "val_bits_per_byte"

    def read(
        self, config: Config, *, build: bool = True, recall: Callable[[], Any] | None = None
    ) -> Corpus:
        settings = config.group(TextSettings)
        choice = replace(config.group(TokenizerChoice), recall=recall)
        corpus = read_text_corpus(config.data_path, settings, choice, build=build)
        corpus.check_length(config.block_size, config.val_fraction, config.data_name)
        return corpus

    def settle(self, config: Config, data: Corpus) -> Config:
        """Chooses a prompt, and writes the size of a vocabulary in place of auto."""
        changes: dict[str, Any] = {}
        changes["sample_prompt"] = choose_prompt(config.sample_prompt, data, config.data_name)
        if config.vocab_size == "auto" and "vocab_size" in data.tokenizer.keys:
            changes["vocab_size"] = data.tokenizer.vocab_size
        return config.model_copy(update=changes)

    def start(self, config: Config, data: Corpus, num_workers: int) -> "TextRun":
        from transformer.tasks.text_run import TextRun

        return TextRun(config, data, num_workers)

    def evaluate(self, saved: "SavedModel", options: "EvaluateOptions") -> Report:
        if options.minimal_pairs is not None:
            from transformer.evaluation.minimal_pairs import report as minimal_pairs

            facts = minimal_pairs.report_on_minimal_pairs(saved, options)
            return Report(facts, minimal_pairs.as_table(facts))
        if options.copied:
            from transformer.evaluation.copying import report as copying

            facts = copying.report_on_copying(saved, options)
            return Report(facts, copying.as_table(facts))
        from transformer.evaluation.text_report import as_table, report_on_text

        report = report_on_text(saved, options)
        return Report(report, as_table(report))

    def explain(self, saved: "SavedModel", prompt: str, options: "ExplainOptions") -> "Explained":
        from transformer.inspection.prompt import explain_with_text_model

        return explain_with_text_model(saved, prompt, options)

    def generate(self, saved: "SavedModel", options: "GenerateOptions", now: Session) -> None:
        from transformer.generation.text import make_generator
        from transformer.generation.text_output import write_texts

        find = None
        if options.mark_copied:
            from transformer.evaluation.copying.marks import marker

            find = marker(saved, options.data_path, options.min_copied, options.cache_dir)
        generator = make_generator(
            saved,
            options.device,
            options.precision,
            num_rows=len(now.prompts) * options.num_samples,
            cache_dir=options.cache_dir,
        )
        seed = options.drawn_seed()
        if options.interactive:
            from transformer.generation.interactive import PromptLoop

            now.talk(PromptLoop(generator, options, seed, now.show))
        else:
            write_texts(
                generator, now.prompts, options, seed, now.show, as_json=now.as_json, find=find
            )
