"""What the runs of a sweep reached, by name."""

from transformer.sweep.folder import SweepFolder
from transformer.sweep.plan_file import PLAN, load


def losses(folder):
    of_folder = SweepFolder(folder, load(folder / PLAN))
    return [(one.trial.name, one.loss, one.error) for one in of_folder.results().ended()]
