"""A run that starts from a model: its config, and the weights it begins with."""

import logging
from collections.abc import Mapping
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from transformer.config.files import Setting, check, gather, planned_keys
from transformer.config.keys import Config
from transformer.data.tokenizers.base import Tokenizer
from transformer.data.tokenizers.registry import PIECE_KEYS
from transformer.models.base import SequenceModel
from transformer.models.families.registry import FAMILIES
from transformer.models.growing import begin_with, grown, grown_tensors
from transformer.models.low_rank import AdapterSettings, adapt
from transformer.storage.adapter_file import adapter_record, base_of, check_base
from transformer.storage.model_file import SavedModel, load_model, read_adapter
from transformer.storage.run_folder import find_model
from transformer.system.errors import UserError
from transformer.system.paths import expanded
from transformer.system.processes import is_rank_0
from transformer.training.settings import TrainingSettings

log = logging.getLogger(__name__)

# What a model was trained with, where its file says so. Its limits were for another text.
_RECIPE = (
    *(f.name for f in fields(TrainingSettings) if f.name not in ("lr", "warmup_steps", "polar")),
    *("batch_size", "stride", "val_fraction", "accumulate_grad_batches"),
)
_LIMITS = ("epochs", "max_steps", "max_minutes")
_MINUTES = 3.0
# Of the highest learning rate with which the model was trained: see docs/start_from.md.
LR_FACTOR = 0.3
LR = 3e-4  # for a model that does not say its own
# With lora_rank, in place of the model's; LORA_LR was measured with a small model.
LORA_RECIPE = {"optimizer": "adamw", "weight_decay": 0.0}
LORA_LR, LORA_LR_OF_OTHERS = 1e-2, 1e-3
# Keys of an architecture that may be others than the model's.
_FREE = {"block_size", "dropout"}
_MODEL_KEYS = {
    *FAMILIES["gpt"].own_keys(),
    *("model", "embedding_dim", "num_heads", "num_blocks", "block_size"),
    *("tokenizer", "vocab_size"),
}
_OPEN = (None, "none", "auto")


@lru_cache(maxsize=1)
def read_start(path: str) -> SavedModel:
    """The model of a run, a model.safetensors or a .ckpt. The last one stays in memory.

    Raises: UserError for what cannot be loaded, and for a model that no run starts from.
    """
    saved = load_model(find_model(path, path))
    kind = saved.architecture["model"]
    if kind != "gpt":
        raise UserError(
            f"{path}: a run starts from a gpt, and this is a {kind}: leave out start_from"
        )
    return saved


def start_of(config: Config, resume: Path | None) -> SavedModel | None:
    """The model whose weights a run begins with: of a resumed run, the base of its adapter.

    Raises: UserError as `read_start`, and for a base that is gone or has changed.
    """
    if config.start_from is None or (resume is not None and config.lora_rank is None):
        return None
    if resume is None:
        return read_start(config.start_from)
    record = read_adapter(resume)
    base = load_model(base_of(record, resume))
    check_base(base, record, resume)
    return base


def architecture_at_start(start: SavedModel, architecture: Mapping[str, Any]) -> dict[str, Any]:
    """That of the config, and what only the model says."""
    return grown(start.architecture, architecture["vocab_size"]) | dict(architecture)


def begin(model: SequenceModel, start: SavedModel, config: Config) -> dict[str, Any] | None:
    """Gives a new model the weights of the one that its run starts from.

    With `lora_rank`, it also gets an adapter, whose record for checkpoints is returned. `start` has
    no weights afterwards, so that they are in memory once.
    """
    record = None
    if config.lora_rank:
        record = adapter_record(start, str(config.start_from), config.group(AdapterSettings))
    begin_with(model, start.model)
    start.model.to("meta")
    read_start.cache_clear()
    if record:
        trained = grown_tensors(model.architecture, start.architecture)
        adapt(model, config.group(AdapterSettings), trained)
    return record


def say_start(model: SequenceModel, start: SavedModel) -> None:
    num_new = model.architecture["vocab_size"] - start.architecture["vocab_size"]
    new = f"; its vocabulary grows by {num_new:,} characters" if num_new else ""
    if is_rank_0():
        log.info("starts from %s%s", start.path, new)


def name_of_start(saved: SavedModel) -> str:
    """For the folder of a run that starts from it."""
    path = saved.path.resolve()
    folder = path if path.is_dir() else path.parent
    return f"from-{saved.config.get('run_name') or folder.name}"


def config_of_start(start_from: str, path: str | Path | None, flags: Mapping[str, Any]) -> Config:
    """The config of a run that starts from a model; `path` is a config file, if one was given.

    Keys that are not given come from the model: its architecture, its tokenizer and its recipe.

    Raises: UserError for a given key that contradicts the model.
    """
    saved = read_start(start_from)
    own = {key: Setting(value, start_from) for key, value in _own_values(saved).items()}
    settings = gather(path, flags, base=own)
    left_open = [key for key in _MODEL_KEYS if key in own and settings[key].value in _OPEN]
    for key in {*planned_keys(settings), *left_open}:
        settings[key] = own[key] if key in own else Setting(None, start_from)
    settings["start_from"] = Setting(str(expanded(start_from)), "--start_from")
    _check_given(settings, own)
    if settings.get("lora_rank", Setting(None, "")).value not in _OPEN:
        lr = LORA_LR if "lr" in saved.config else LORA_LR_OF_OTHERS
        for key, value in {**LORA_RECIPE, "lr": lr}.items():
            if settings.get(key) is own.get(key):
                settings[key] = Setting(value, start_from)
    if all(key not in settings or settings[key].value in _OPEN for key in _LIMITS):
        settings["max_minutes"] = Setting(_MINUTES, start_from)
    config = check(Config, settings, str(path or start_from))
    if config.run_name is None and path is None:
        return config.model_copy(update={"run_name": name_of_start(saved)})
    return config


def _own_values(saved: SavedModel) -> dict[str, Any]:
    tokenizer = saved.tokenizer
    assert isinstance(tokenizer, Tokenizer)
    keys = Config.model_fields
    values = {key: value for key, value in saved.architecture.items() if key in keys}
    del values["vocab_size"]
    values["tokenizer"] = tokenizer.name
    values |= {key: saved.config[key] for key in PIECE_KEYS if key in saved.config}
    if "vocab_size" in tokenizer.keys:
        values["vocab_size"] = tokenizer.vocab_size
    values |= {key: saved.config[key] for key in _RECIPE if key in saved.config}
    # An adapter learns with a much higher one than its model.
    own = saved.config.get("lr") if saved.config.get("lora_rank") is None else None
    lr = LR if own is None else LR_FACTOR * own
    return {"batch_size": 8, "epochs": None, "num_workers": 0, **values, "lr": lr}


def _check_given(settings: Mapping[str, Setting], own: Mapping[str, Setting]) -> None:
    """Raises: UserError for a key of the model or its tokenizer with another value."""
    keys = {"vocab_size", *(own.keys() & _MODEL_KEYS)} - _FREE
    for key in sorted(keys & settings.keys()):
        given, was = settings[key], own.get(key)
        if given is was or given.value in _OPEN or (was and _same(given, was)):
            continue
        has = f"has {was.value}" if was else f"has none: its tokens are {own['tokenizer'].value}"
        raise UserError(
            f"{given.origin}: {key} is {given.value}, but the model of start_from {has}: "
            f"leave out {key}"
        )


def _same(one: Setting, other: Setting) -> bool:
    """Whether the texts of a file or a flag are the same value."""
    texts = [str(setting.value).lower() for setting in (one, other)]
    try:
        return texts[0] == texts[1] or float(texts[0]) == float(texts[1])
    except ValueError:
        return False
