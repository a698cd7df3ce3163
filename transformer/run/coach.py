"""What the curves of a finished run show, and the flag to try next.

tests/run/test_coach.py has a run for each rule that shows it, and one that does not.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import NamedTuple

from transformer.training.callbacks.curves import Point

# Overfitting: the best val_loss came before LATE of the run, and the last is RISEN times as high.
LATE = 0.9
RISEN = 1.01
LEAST_RISE = 0.001  # less is no rise, also of a loss near 0
DROPOUT = 0.2  # the advised value; with more, RAISED is added
RAISED, MOST_DROPOUT = 0.1, 0.5
LAST_PART, FALLEN = 0.2, 1.01  # still falling: val_loss before the last part over the last one
SMALL_GAP = 1.1  # val_loss over train_loss of a model that has not learned its text by heart
SPIKE, AROUND = 1.2, 5  # times the median of so many points before
WORSE, FOR_POINTS = 1.1, 5  # the loss has grown, for so many points
COPIED_CHARACTERS = 60  # in a row; a model that does not copy repeats about 20


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A run: its curves, its settings and its sample."""

    train: Sequence[Point]
    val: Sequence[Point]
    step: int
    lr: float
    dropout: float | None = 0.0  # None for a model without dropout
    grad_clip: float = 0.0
    max_minutes: float | None = None
    ended_by_minutes: bool = True  # if there is such a limit
    epochs: int | None = None
    precision: str = "auto"
    best_weights: Point | None = None  # their step and exact loss, if known
    skipped_steps: int = 0
    picked_by_val_loss: bool = True  # whether that metric picks the best weights
    copied: int = 0  # the longest passage of the training text in the sample, in characters
    num_devices: int = 1
    # With which train.py trains the same model for other steps; the run's own command may plan one.
    config_flag: str = "--config config.yaml"
    sweep_flags: str = "--config config.yaml"  # with which sweep.py trains its config again

    @property
    def last_val(self) -> float:
        return self.val[-1][1]

    @property
    def last_train(self) -> float:
        return self.train[-1][1]

    @property
    def best(self) -> Point:
        return self.best_weights or min(self.val, key=lambda point: point[1])

    @property
    def overfits(self) -> bool:
        step, loss = self.best
        risen = self.last_val >= max(RISEN * loss, loss + LEAST_RISE)
        return step <= LATE * self.step and risen


class Advice(NamedTuple):
    """A finding, and what to try."""

    finding: str
    flags: str

    def __str__(self) -> str:
        return f"{self.finding}: try {self.flags}"


def overfitting(run: Finished) -> Advice | None:
    if not run.picked_by_val_loss or not run.overfits:
        return None
    step, loss = run.best
    # With label smoothing, train_loss is a different loss and may be higher than val_loss.
    gap = run.last_val - run.last_train
    above = f", {gap:z.4f} above train_loss ({run.last_train:z.4f})" if gap > 0 else ""
    return Advice(
        f"val_loss was lowest at step {step:,} ({loss:z.4f}; these weights are kept), and "
        f"{run.last_val:z.4f} at the end{above}; in between, the model has learned its examples "
        "by heart",
        f"{run.config_flag} --max_steps {step} (the learning rate then falls in time)"
        f"{_or_dropout(run)}{_or_width(run, 'smaller')}",
    )


def still_falling(run: Finished) -> Advice | None:
    before = [loss for step, loss in run.val if step <= (1 - LAST_PART) * run.step]
    if not run.picked_by_val_loss or run.overfits or not before:
        return None
    if before[-1] < FALLEN * run.last_val:
        return None
    if run.last_val > SMALL_GAP * run.last_train:
        return None
    longer = f"{run.config_flag} --max_steps {2 * run.step}"
    longer += " --epochs none" * (run.epochs is not None)
    if run.max_minutes is not None:
        longer += " --max_minutes none"
        if run.ended_by_minutes:
            longer = f"--max_minutes {2 * run.max_minutes:g}"
    return Advice(
        f"val_loss was still falling ({before[-1]:z.4f} before the last fifth of the run, "
        f"{run.last_val:z.4f} at its end) and is close to train_loss: more steps help",
        longer + _or_width(run, "larger"),
    )


def spikes(run: Finished) -> Advice | None:
    """Losses far above those before them, to which the run came back."""
    found = []
    for at in range(AROUND, len(run.train) - 1):
        usual = median(loss for _, loss in run.train[at - AROUND : at])
        later = min(loss for _, loss in run.train[at + 1 : at + 1 + AROUND])
        if run.train[at][1] > SPIKE * usual > SPIKE * later / WORSE:
            found.append(run.train[at])
    if not found:
        return None
    step, loss = max(found, key=lambda point: point[1])
    times = "once" if len(found) == 1 else f"{len(found)} times"
    return Advice(
        f"train_loss jumped up {times}, to {loss:z.4f} at step {step:,}",
        "--grad_clip 1" if run.grad_clip == 0 else f"--lr {run.lr / 2:.2g}",
    )


def learning_rate_at_the_edge(run: Finished) -> Advice | None:
    """A loss that rises and stays up."""
    losses = [loss for _, loss in run.train]
    for at in range(FOR_POINTS, len(losses) - FOR_POINTS + 1):
        lowest = fmean(losses[at - FOR_POINTS : at])
        if min(losses[at : at + FOR_POINTS]) > WORSE * lowest:
            return Advice(
                f"train_loss rose from {lowest:z.4f} to {fmean(losses[at : at + FOR_POINTS]):z.4f} "
                f"at step {run.train[at][0]:,} and stayed up: the learning rate is at the edge",
                f"--lr {run.lr / 2:.2g}",
            )
    return None


def skipped(run: Finished) -> Advice | None:
    if not run.skipped_steps:
        return None
    were = "step was" if run.skipped_steps == 1 else "steps were"
    return Advice(
        f"{run.skipped_steps:,} {were} skipped, as a gradient was not finite",
        f"--lr {run.lr / 2:.2g}" + " or --precision float32" * (run.precision != "float32"),
    )


def far_apart(run: Finished) -> Advice | None:
    """The model has learned part of its text by heart, and its val_loss has not suffered yet.

    Models with other seeds learn other parts and make other errors, so their mean is better. Not
    for a model without dropout: a bigram model learns the same with every seed.
    """
    if not run.picked_by_val_loss or run.overfits or run.dropout is None:
        return None
    if run.last_val <= SMALL_GAP * run.last_train:
        return None
    longer = run.num_devices if run.max_minutes is None else 1
    times = "four" if longer == 1 else f"on one device, {4 * longer}"
    return Advice(
        f"val_loss ({run.last_val:z.4f}) is far above train_loss ({run.last_train:z.4f}), but it "
        "hardly rose: models with other seeds make other errors, so together they make fewer",
        f"python sweep.py {run.sweep_flags} --seeds 4 --ensemble ({times} times the time)",
    )


def copying(run: Finished) -> Advice | None:
    if run.copied < COPIED_CHARACTERS:
        return None
    return Advice(
        f"the sample repeats {run.copied} characters in a row of the training text",
        f"fewer steps{_or_dropout(run)}{_or_width(run, 'smaller')}",
    )


def _or_dropout(run: Finished) -> str:
    if run.dropout is None or run.dropout >= MOST_DROPOUT:
        return ""
    value = DROPOUT if run.dropout < DROPOUT else min(run.dropout + RAISED, MOST_DROPOUT)
    return f" or --dropout {value:.2g}"


def _or_width(run: Finished, how: str) -> str:
    """Not for a model without dropout, which has no width to choose either."""
    return "" if run.dropout is None else f", or a {how} --embedding_dim"


RULES: tuple[Callable[[Finished], Advice | None], ...] = (
    *(overfitting, still_falling, learning_rate_at_the_edge, spikes, skipped, copying, far_apart),
)


def advice(run: Finished) -> Iterator[Advice]:
    """Of each rule that the run shows, the most helpful first; none for a run without curves."""
    if not run.val or not run.train:
        return
    for rule in RULES:
        if (found := rule(run)) is not None:
            yield found
