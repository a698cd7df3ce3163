"""What the curves of a run are compared with: the units of its text, and its bigram loss.

Only `bigram_floor` imports torch.
"""

import json
import math
from os.path import isfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from safetensors import SafetensorError, safe_open

from transformer.data.sources.settings import in_words
from transformer.data.text.corpus import Corpus, read_corpus
from transformer.data.text.split import recorded_cuts
from transformer.data.tokenizers.base import Tokenizer
from transformer.data.tokenizers.characters import CharacterTokenizer
from transformer.data.tokenizers.registry import tokenizer_from_state
from transformer.storage.curves import PER_BYTE, PER_CHARACTER, TRAIN_LOSS, VAL_LOSS
from transformer.storage.events import Curves
from transformer.storage.run_folder import WEIGHTS
from transformer.system.errors import UserError

if TYPE_CHECKING:
    from transformer.evaluation.text import Score


class TrainedOn(NamedTuple):
    """The text that a run was trained on, its split, and its tokenizer."""

    data_path: str
    sha256: str
    val_fraction: float
    num_train_characters: int | None = None  # None in older files
    num_val_characters: int | None = None  # None without a test split
    tokenizer: str | None = None  # its state as JSON; None: of characters
    from_documents: bool = False
    encoding: str = "utf-8"

    @property
    def suffix(self) -> str:
        """Names another tokenizer than the usual one."""
        found = _tokenizer(self.tokenizer)
        if found is None or found.name == CharacterTokenizer.name:
            return ""
        return f", {found.vocab_size:,} {found.units}"


def read_trained_on(run: Path) -> TrainedOn:
    """Reads this from the run's model.safetensors, which the first validation writes.

    Raises: UserError if the file is missing or does not contain it.
    """
    path = run / WEIGHTS
    try:
        with safe_open(path, framework="numpy") as file:
            texts = file.metadata()
        config, corpus = json.loads(texts["config"]), json.loads(texts["corpus"])
        return TrainedOn(
            in_words(config["data_path"]),
            corpus["sha256"],
            config["val_fraction"],
            corpus.get("num_train_characters"),
            corpus.get("num_val_characters"),
            texts.get("tokenizer"),
            "num_documents" in corpus,
            config.get("encoding", "utf-8"),
        )
    except (OSError, SafetensorError, TypeError, KeyError, ValueError):
        raise UserError(f"{path}: is missing or does not name its training data") from None


def of_characters(curves: Curves) -> bool:
    """Whether a token of the run is a character, or it has logged no loss in other units."""
    bits = _last_ratio(curves, PER_CHARACTER)
    if bits is None:
        return _last_ratio(curves, PER_BYTE) is None
    return math.isclose(bits, 1 / math.log(2), rel_tol=1e-4)


def per_byte(curves: Curves) -> Curves | None:
    """The losses in bits per byte; None for a run that has not logged this unit."""
    bits = _last_ratio(curves, PER_BYTE)
    if bits is None:
        return None
    return {
        name: [point._replace(value=bits * point.value) for point in points]
        if name in (TRAIN_LOSS, VAL_LOSS)
        else points
        for name, points in curves.items()
    }


def _last_ratio(curves: Curves, name: str) -> float | None:
    """The last value of a curve, divided by the val_loss of the same step."""
    losses = {point.step: point.value for point in curves.get(VAL_LOSS, [])}
    for point in reversed(curves.get(name, [])):
        if losses.get(point.step):
            return point.value / losses[point.step]
    return None


def bigram_floor(trained_on: TrainedOn) -> "Score":
    """The score of `score_bigram` on the validation split, learned from the training split.

    Raises: UserError if the corpus is missing or has changed.
    """
    path = trained_on.data_path
    if trained_on.from_documents:
        raise UserError(f"{path}: the floor is drawn for one text alone, not for documents")
    if not isfile(path):
        raise UserError(f"{path}: is missing: start from the folder where the run was started")
    tokenizer = _tokenizer(trained_on.tokenizer)
    any_bytes = tokenizer is not None and tokenizer.reads_any_file
    text = read_corpus(path, any_bytes=any_bytes, encoding=trained_on.encoding)
    if text.sha256 != trained_on.sha256:
        raise UserError(f"{path}: is not the text that the run was trained on (different sha256)")
    from transformer.evaluation.text import score_bigram

    cuts = recorded_cuts(trained_on._asdict(), len(text.characters), trained_on.val_fraction)
    tokenizer = tokenizer or CharacterTokenizer.from_text(text.characters)
    corpus = Corpus.encoded_by(tokenizer, text, cuts)
    return score_bigram(corpus.train, corpus.val, corpus.tokenizer)


def _tokenizer(state: str | None) -> Tokenizer | None:
    if state is None:
        return None
    try:
        found = tokenizer_from_state(json.loads(state))
    except ValueError as error:
        raise UserError(f"its tokenizer is damaged: {error}") from None
    assert isinstance(found, Tokenizer)
    return found
