"""A folder with a model of another program, as `save_pretrained` of transformers writes it.

Imports no torch before the weights are asked for.
"""

from functools import cached_property
from os.path import isfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformer.data.tokenizers.base import Tokenizer
from transformer.models.families.gpt import GPTSettings
from transformer.storage.pretrained.families.registry import family_of
from transformer.storage.pretrained.places import CONFIG
from transformer.storage.pretrained.tokenizer_folder import read_folders_tokenizer
from transformer.storage.pretrained.values import Values
from transformer.system.errors import UserError
from transformer.system.paths import expanded

if TYPE_CHECKING:
    from transformer.models.gpt import GPT


class PretrainedFolder:
    """`settings` are those of the GPT that computes the same; `model()` has the folder's weights.

    Raises: UserError for a folder without a config.json, and for one that asks for what our GPT has
    not: another class, activation or kind of attention.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not isfile(self.path / CONFIG):
            raise UserError(
                f"{self.path}: has no {CONFIG}, which says what the model is: copy it there, as "
                "save_pretrained writes it"
            )
        self.values = Values.read(self.path / CONFIG, "config of a model")
        self.family = family_of(self.values)
        try:
            self.settings: GPTSettings = self.family.settings(self.values)
        except UserError:
            raise
        except ValueError as error:  # of our settings
            raise UserError(f"{self.values.path}: {error}; get the file again") from None

    @property
    def architecture(self) -> dict[str, Any]:
        """The arguments of `build_model`."""
        return self.settings.architecture

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """Raises: UserError for a folder without a tokenizer, and for one of another kind."""
        size = self.settings.vocab_size
        return read_folders_tokenizer(self.path, self.family.name, size, self._end())

    def _end(self) -> int | None:
        """The id of the token that ends a text; of several, the first."""
        ids = self.values.get("eos_token_id")
        first = ids[0] if isinstance(ids, list) and ids else ids
        return first if type(first) is int else None

    def model(self) -> "GPT":
        """The model in eval mode on the CPU, in torch's default number format.

        Raises: UserError for files that are missing, truncated or damaged, and for tensors that are
        missing, additional, or of a shape that does not fit the settings.
        """
        from transformer.storage.pretrained.weights import Described, loaded_model

        return loaded_model(Described(self.path, self.family, self.values, self.settings))


def read_pretrained(folder: str | Path) -> PretrainedFolder:
    """A model of another program: its settings now; its tokenizer and weights when asked for.

    Raises: UserError as `PretrainedFolder`.
    """
    return PretrainedFolder(expanded(folder))
