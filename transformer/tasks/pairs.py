"""The task of pairs: to predict the target of a source. No torch before a model is used."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from transformer.config.keys import Config
from transformer.data.pairs.reading import Pairs, read_pairs
from transformer.data.pairs.settings import PairSettings
from transformer.system.errors import UserError
from transformer.tasks.base import Report, Session, Task

if TYPE_CHECKING:
    from transformer.evaluation.options import EvaluateOptions
    from transformer.generation.options import GenerateOptions
    from transformer.inspection.options import ExplainOptions
    from transformer.inspection.prompt import Explained
    from transformer.storage.model_file import SavedModel
    from transformer.tasks.pair_run import PairRun


class PairTask(Task):
    name = "pairs"
    noun = "pairs (encoder_decoder)"
    # It may still fall when val_loss rises, and it falls even while every word has an error.
    monitor = "val_unit_error_rate"
    metric_of_any_tokens = "val_word_error_rate"

    def read(
        self, config: Config, *, build: bool = True, recall: Callable[[], Any] | None = None
    ) -> Pairs:
        settings = config.group(PairSettings)
        pairs = read_pairs(str(config.data_path), settings, build=build, recall=recall)
        pairs.check_splits(settings)
        return pairs

    def start(self, config: Config, data: Pairs, num_workers: int) -> "PairRun":
        from transformer.tasks.pair_run import PairRun

        return PairRun(config, data, num_workers)

    def evaluate(self, saved: "SavedModel", options: "EvaluateOptions") -> Report:
        from transformer.evaluation.pair_report import as_table, evaluate_pairs

        report = evaluate_pairs(saved, _one_file(options.data_path), options)
        return Report(report, as_table(report))

    def explain(self, saved: "SavedModel", prompt: str, options: "ExplainOptions") -> "Explained":
        from transformer.inspection.prompt import explain_with_pair_model

        return explain_with_pair_model(saved, prompt, options)

    def generate(self, saved: "SavedModel", options: "GenerateOptions", now: Session) -> None:
        from transformer.generation.translation import make_translator
        from transformer.generation.translation_output import write_translations

        translator = make_translator(
            saved,
            options.device,
            options.precision,
            num_rows=len(now.prompts) * options.num_beams,
            cache_dir=options.cache_dir,
        )
        if options.interactive:
            from transformer.generation.interactive import TranslationLoop

            now.talk(TranslationLoop(translator, options, now.show))
        else:
            write_translations(translator, now.prompts, options, now.show, as_json=now.as_json)

    def check(self, options: BaseModel) -> None:
        super().check(options)
        num_samples, num_beams = (getattr(options, n, 1) for n in ("num_samples", "num_beams"))
        if num_samples > num_beams:
            raise UserError(
                f"`num_samples={num_samples}` needs at least as many `num_beams`, got {num_beams}"
            )


def _one_file(data_path: Any) -> str | None:
    """Raises: UserError for several files."""
    if isinstance(data_path, list):
        raise UserError(f"`data_path`: pairs are read from one file, got {len(data_path)}")
    return data_path
