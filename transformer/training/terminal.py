"""What a run writes to the terminal, and what it keeps from it. Imports no torch."""

import logging
import threading
import warnings


class PrintAboveBar(logging.Handler):
    """Log lines go to stdout, above a progress bar where there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm

        tqdm.write(self.format(record))


def quiet_libraries() -> None:
    """Leaves out what Lightning, once imported, says that a user cannot act on."""
    for name in ("pytorch_lightning", "lightning_fabric", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    ignore_lightnings_own_warnings()
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*torch.jit.script_method.*")
    threading.excepthook = _report_thread


def ignore_lightnings_own_warnings() -> None:
    """Of each fit, about what Lightning itself calls of torch."""
    warnings.filterwarnings("ignore", message=".*treespec, LeafSpec.*", category=FutureWarning)


def _report_thread(failure: threading.ExceptHookArgs) -> None:
    """As ever, but for TensorBoard's writer on a full disk, of which the run's logger speaks."""
    of_tensorboard = type(failure.thread).__module__.startswith("tensorboard.")
    if not (of_tensorboard and issubclass(failure.exc_type, OSError)):
        threading.__excepthook__(failure)
