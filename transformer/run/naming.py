"""The name of a run whose config has none. No torch."""

from pathlib import Path

from transformer.config.keys import Config
from transformer.storage.run_names import check_name


def named(config: Config, path: str | Path) -> Config:
    """Returns the config with a run_name; by default, this is the name of its file.

    Raises: UserError for a name that no folder can have.
    """
    if config.run_name:
        check_name(config.run_name, "run_name")
        return config
    name = Path(path).stem
    check_name(name, str(path), "rename the file or give --run_name")
    return config.model_copy(update={"run_name": name})
