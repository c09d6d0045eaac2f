"""Whether trainings may take their steps together: what that gains, and whether their numbers stay the same.

Both are measured, on trainings made for it. What rounds otherwise differs from machine to machine.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch

from trainables.common.errors import Diverged
from trainables.data import Splits
from trainables.metrics.view import ModelView, look
from trainables.run import Run
from trainables.stacked.numbers import CannotStack
from trainables.stacked.rounding import rounded_as_one, rounded_by_place
from trainables.stacked.stack import Stack, convolves
from trainables.train import Epoch, Training, take_steps

FULL_BATCHES = 4  # that are tried, besides the rest of the rows
TIMES = 4  # that steps are timed
CLOSE = 1e-6  # the most by which a parameter may differ after a step, relative to its norm


@dataclass(frozen=True)
class Comparison:
    """What steps taken together are, beside the same steps taken by each training alone."""

    gain: float  # how many times as quick, by CPU time, or by the clock with a GPU
    equal: bool  # whether all that a checkpoint holds, and the metrics, have the same bits
    difference: float  # of a parameter after one step, the largest, relative to its norm
    validates: bool  # whether validation rows passed through all at once give the same bits, too


def compare(runs: Sequence[Run], splits: Splits) -> Comparison:
    """Try some steps and validation of these runs both ways, with the last, shorter batch.

    Raises CannotStack and Diverged.
    """
    rest = _rows(runs[0], splits) % runs[0].batch_size
    together, alone = _both(runs, splits, FULL_BATCHES * runs[0].batch_size + rest)
    same = all(map(_equal, together.trainings, alone.trainings)) and _same(together.means(), alone.means())
    rows = runs[0].batch_size + rest
    equal = same and not (_steps_as_one(together.trainings, rows) or _steps_by_place(runs, splits, rows))
    gain = alone.seconds / max(together.seconds, 1e-9)
    difference = 0.0 if same else _difference_after_a_step(runs, splits)
    return Comparison(gain, equal, difference, _look_the_same(together.trainings))


def why_not(training: Training) -> str | None:
    """Why such trainings never gain from being stacked, where that is known beforehand."""
    if convolves(training) and training.device.type == "cpu":
        return "convolutions gain nothing on a CPU"
    return None


@dataclass(frozen=True)
class _Tried:
    epochs: list[Epoch]
    seconds: float

    @property
    def trainings(self) -> list[Training]:
        return [epoch.training for epoch in self.epochs]

    def means(self) -> list[dict[str, float] | str]:
        """The training metrics of each, or how it diverged."""
        return list(map(_means, self.epochs))


def _both(runs: Sequence[Run], splits: Splits, rows: int) -> tuple[_Tried, _Tried]:
    """Trainings after the steps on so many rows, taken several times: in a stack, and each alone.

    The quickest counts: the first has what is done once for all steps, and others may have waited for something.
    """
    together, alone = ([Training(run, splits=splits) for run in runs] for _ in range(2))
    stack = Stack(together)

    def all_steps(epochs: list[Epoch]) -> None:
        if diverged := stack.take_steps(epochs):
            raise next(iter(diverged.values()))

    def each_step(epochs: list[Epoch]) -> None:
        for epoch in epochs:
            take_steps(epoch, epoch.training.learner)

    tried = [(_timed(all_steps, together, rows), _timed(each_step, alone, rows)) for _ in range(TIMES)]
    return tuple(_Tried(times[-1].epochs, min(one.seconds for one in times)) for times in zip(*tried, strict=True))


def _means(epoch: Epoch) -> dict[str, float] | str:
    try:
        return epoch.tally.means()
    except Diverged as error:
        return str(error)


def _epochs(trainings: Sequence[Training], rows: int) -> list[Epoch]:
    return [Epoch(training, rows) for training in trainings]


def _timed(steps: Callable[[list[Epoch]], None], trainings: list[Training], rows: int) -> _Tried:
    epochs, began = _epochs(trainings, rows), _now(trainings[0].device)
    steps(epochs)
    return _Tried(epochs, _now(trainings[0].device) - began)


def _steps_as_one(trainings: list[Training], rows: int) -> list[str]:
    """The products of steps on so many rows that may round otherwise, taken by a stack of these trainings."""
    stack = Stack(trainings)
    stack.take_steps(_epochs(trainings, rows))  # with what is done once, for one model
    epochs = _epochs(trainings, rows)
    return rounded_as_one(lambda: stack.take_steps(epochs))


def _steps_by_place(runs: Sequence[Run], splits: Splits, rows: int) -> list[str]:
    """The elementwise operations of steps on so many rows that may round otherwise in a stack of these runs."""
    training = Training(runs[0], splits=splits)
    return rounded_by_place(lambda: take_steps(Epoch(training, rows), training.learner), len(runs))


def _now(device: torch.device) -> float:
    """CPU-seconds; seconds, once it is done, of a GPU."""
    if device.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


def _rows(run: Run, splits: Splits) -> int:
    """The rows of an epoch."""
    rows = len(splits.train)
    return (rows - run.method.held_out(rows).rows) * run.method.passes()


def _equal(one: Training, other: Training) -> bool:
    return _same(one.state(), other.state())


def _same(one, other) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one.nan_to_num(), other.nan_to_num()) and torch.equal(one.isnan(), other.isnan())
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return one == other or (one != one and other != other)


def _look_the_same(trainings: Sequence[Training]) -> bool:
    """Whether the views of these trainings' models are the same, computed at once and one by one."""
    last = FULL_BATCHES + 1
    stack = Stack(trainings)
    try:
        together = stack.look(last)
    except CannotStack:
        return False

    def views() -> Iterator[ModelView]:
        return (look(training.learner, training.validation_batches(last)) for training in trainings)

    same = all(_same_views(*both) for both in zip(together, views(), strict=True))
    if not same or rounded_as_one(lambda: stack.look(last)):
        return False
    return not rounded_by_place(lambda: next(views()), len(trainings))


def _same_views(one: ModelView, other: ModelView) -> bool:
    return _same(vars(one) | {"vae": None}, vars(other) | {"vae": None})


def _difference_after_a_step(runs: Sequence[Run], splits: Splits) -> float:
    together, alone = _both(runs, splits, runs[0].batch_size)
    return max(map(_difference, together.trainings, alone.trainings))


def _difference(one: Training, other: Training) -> float:
    pairs = zip(*([value.detach() for value in of.learner.parameters()] for of in (one, other)), strict=True)
    return max(float((mine - theirs).norm() / theirs.norm().clamp_min(1e-3)) for mine, theirs in pairs)
