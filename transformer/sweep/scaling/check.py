"""What a scaling law can be asked of. No torch."""

from collections.abc import Iterable

from transformer.config.keys import Config
from transformer.models.families.gpt import GPTSettings
from transformer.system.errors import UserError

SIZE_KEYS = ("embedding_dim", "num_heads", "num_blocks", "feedforward_dim", "num_kv_heads")


def check(config: Config, flags: Iterable[str] = ()) -> None:
    """`flags` are the keys that are given beside the config's file.

    Raises: UserError for a model whose loss follows no such law, for flags of keys that a scaling
    law chooses, and for runs of several devices, whose steps it does not time.
    """
    if config.family is not GPTSettings:
        raise UserError(f"--scaling is for models of a text, model gpt; got model {config.model}")
    flags = set(flags)
    if given := [key for key in SIZE_KEYS if key in flags]:
        raise UserError(
            f"--scaling chooses {given[0]} itself: leave out --{given[0]}, or write it to the file "
            "of the config, whose shape is scaled"
        )
    if config.start_from is not None:
        raise UserError("--scaling trains new models of several sizes: leave out start_from")
    if config.resolved()["head_dim"] != "auto":
        raise UserError("--scaling chooses the width of heads: leave out head_dim")
    if str(config.devices) != "1" or config.num_nodes != 1:
        raise UserError(f"--scaling times one device: give devices 1, got {config.devices}")
