"""What a scaling law can be asked of. No torch."""

from collections.abc import Iterable

from transformer.config.keys import Config
from transformer.models.families.gpt import GPTSettings
from transformer.system.errors import UserError

SIZE_KEYS = ("embedding_dim", "num_heads", "num_blocks", "feedforward_dim", "num_kv_heads")


def check_flags(flags: Iterable[str]) -> None:
    """`flags` are the keys that are given beside the config's file.

    Raises: UserError for a key that a scaling law chooses.
    """
    given = set(flags)
    for key in SIZE_KEYS:
        if key in given:
            raise UserError(
                f"--scaling chooses {key} itself: leave out --{key}, or write it to the file of "
                "the config, whose shape is scaled"
            )


def check(config: Config) -> None:
    """Raises: UserError for a model whose loss follows no such law, and for a key that it needs."""
    if config.family is not GPTSettings:
        way_out = "give model gpt"
        if "embedding_dim" in config.family.field_names():
            way_out = "leave it out, and compare sizes with --vary embedding_dim=64,128"
        raise UserError(
            f"--scaling is for models of a text, model gpt, got model {config.model}: {way_out}"
        )
    if config.start_from is not None:
        raise UserError("--scaling trains new models of several sizes: leave out start_from")
    if config.resolved()["head_dim"] != "auto":
        raise UserError("--scaling chooses the width of heads: leave out head_dim")
