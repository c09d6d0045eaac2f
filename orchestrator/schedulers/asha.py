"""Promotion ASHA: decides which trial pauses and which goes on. It uses no Ray, no clock and no random numbers.

Source: Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning", Algorithm 2.

Only `report`, `abandon`, `next` and `close` change a scheduler, and their answers follow from the calls before. So the
list of those calls is its whole state: written to a journal and replayed, it gives the same scheduler.

Algorithm 2 alone may train no trial of a small search in full: it promotes none of fewer than eta trials at a rung. So
the search is closed: once no further trial can reach a rung, the best max(1, floor(n / eta)) of its n trials go on, the
lowest rung first. These promotions are recorded apart. If further trials come after all, Algorithm 2 decides and counts
as if the closing promotions had not been made; only their training is not repeated.
"""

import math
from bisect import bisect_left, insort
from collections.abc import Collection, Container
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, PositiveInt

from orchestrator.schedulers.base import CONTINUE, PAUSE, STOP, SchedulerRecord


class Asha(SchedulerRecord):
    """Asynchronous successive halving: stops trials early that are behind others at the same epoch.

    When no further trial can reach a rung, the best max(1, floor(n / reduction_factor)) of the n there go on, so at
    least one is trained in full.
    """

    decides_epochs: ClassVar[bool] = True
    competitors: ClassVar[str] = "trials"  # what `notes` calls those that are compared

    name: Literal["asha"] = "asha"
    grace_epochs: PositiveInt = 3
    """Epochs that every trial trains: the first rung."""
    reduction_factor: Annotated[int, Field(ge=2)] = 3
    """One in this many trials goes on from each rung; the rungs' epochs lie this factor apart."""
    max_epochs: PositiveInt | None = None
    """Epochs that the best trials train; at most run.epochs, which is the default."""

    source: ClassVar[str] = "Li et al. 2020, A system for massively parallel hyperparameter tuning, Algorithm 2"

    def build(self, mode: str) -> "PromotionAsha":
        return PromotionAsha(mode, self.max_epochs, self.grace_epochs, self.reduction_factor)

    def resolved(self, epochs: int) -> Self:
        return self.model_copy(update={"max_epochs": min(self.max_epochs or epochs, epochs)})

    def most_epochs(self, epochs: int) -> int:
        return self.max_epochs or epochs

    def first_decision(self, epochs: int) -> int:
        return self.grace_epochs

    def brackets(self, trials: int) -> list[tuple[int, int]]:
        """The first rung of each bracket, and how many of `trials` it gets. ASHA is a single bracket."""
        return [(self.grace_epochs, trials)]

    def expected_epochs(self, epochs: list[int]) -> float:
        return sum(self._expected(grace, trials) for grace, trials in self.brackets(len(epochs)) if trials)

    def _expected(self, grace_epochs: int, trials: int) -> float:
        """Expected epochs of one bracket: one trial in reduction_factor passes each rung, and at least one does."""
        eta, most = self.reduction_factor, self.max_epochs
        rungs = [0, *rung_epochs(grace_epochs, eta, most), most]
        return sum((later - earlier) * max(1, trials / eta**k) for k, (earlier, later) in enumerate(pairwise(rungs)))

    def notes(self, trials: int) -> list[str]:
        """A note if a bracket has too few trials for one to pass every rung before the search is closed."""
        eta, last = self.reduction_factor, self.max_epochs
        needed = [(of, eta ** len(rung_epochs(grace, eta, last))) for grace, of in self.brackets(trials)]
        few = [(of, enough) for of, enough in needed if 1 < of < enough]
        if not few:
            return []
        of, enough = few[0]
        return [
            f"{of} {self.competitors} are too few to be halved down to one (that takes {enough}): when none is left to"
            f" start, the best of each rung goes on, so one is trained to epoch {last}."
        ]


Place = tuple[float, int]
"""Sorts trials from best to worst, equal ones by number: minus the score, and the trial's number."""


@dataclass(slots=True, eq=False)
class Rung:
    """The trials that reached an epoch, their scores there, and which of them went on.

    A trial counts here once it went on from the rung below by Algorithm 2. These are kept in order, so a decision
    costs the same whatever their number.
    """

    epoch: int
    below: "Rung | None" = None
    above: "Rung | None" = None
    scores: dict[int, float] = field(default_factory=dict)  # trial number -> score, more is better; -inf: not finite
    promoted: set[int] = field(default_factory=set)  # by Algorithm 2
    closed: set[int] = field(default_factory=set)  # by closing: no further trial could come
    counted: list[Place] = field(default_factory=list)  # the trials that count here, the best first
    waiting: list[Place] = field(default_factory=list)  # those of them with a finite score that were not promoted

    def put(self, trial: int, score: float) -> None:
        """Give a trial its score, or another one."""
        if trial in self.scores:
            _take_out(self.counted, self._place(trial))
            _take_out(self.waiting, self._place(trial))
        self.scores[trial] = score
        self.count(trial)

    def promote(self, trial: int) -> None:
        """Let a trial go on, which then counts at the rung above."""
        if trial in self.promoted:
            return
        self.promoted.add(trial)
        if trial in self.scores:
            _take_out(self.waiting, self._place(trial))
        if self.above:
            self.above.count(trial)

    def count(self, trial: int) -> None:
        """Count a trial if it is here and went on from the rung below."""
        if trial in self.scores and (self.below is None or trial in self.below.promoted):
            insort(self.counted, self._place(trial))
            if trial not in self.promoted and self.scores[trial] > -math.inf:
                insort(self.waiting, self._place(trial))

    def promotable(self, eta: float) -> int | None:
        """The best trial that may go on and has not yet. One with a non-finite score counts in n, but never goes on."""
        if not self.waiting:
            return None
        best = self.waiting[0]
        return best[1] if bisect_left(self.counted, best) < len(self.counted) // eta else None

    def _place(self, trial: int) -> Place:
        return -self.scores[trial], trial

    def best(self, trials: Collection[int], eta: float) -> list[int]:
        """The top floor(n / eta) of these n trials, best first; of equal ones the lower number first."""
        return self.ranked(trials)[: int(len(trials) // eta)]

    def ranked(self, trials: Collection[int]) -> list[int]:
        return sorted(trials, key=self._place)

    def closable(self, eta: float, sound: Container[int]) -> int | None:
        """The best trial that is to go on when no further one comes here, and has not yet.

        Those are the top floor(n / eta), and always the best `sound` one. A sound trial was trained in full, or still
        can be.
        """
        alive = [trial for trial in self.ranked(self.scores) if trial in sound]
        due = (trial for trial in [*self.best(self.scores, eta), *alive[:1]] if trial in sound)
        return next((trial for trial in due if not self.let_pass(trial)), None)

    def let_pass(self, trial: int) -> bool:
        """Whether a trial went on from here."""
        return trial in self.promoted or trial in self.closed


class PromotionAsha:
    """Trials pause at epochs grace_epochs * eta^k; the best 1/eta of those that reached one go on to the next.

    A value that is not finite counts as the worst. Trials are identified by their number.
    """

    def __init__(self, mode: str, max_epochs: int, grace_epochs: int, reduction_factor: float):
        self.sign = {"max": 1.0, "min": -1.0}[mode]
        self.max_epochs = max_epochs
        self.eta = reduction_factor
        self.rungs: list[Rung] = []
        for epoch in rung_epochs(grace_epochs, reduction_factor, max_epochs):
            self.rungs.append(Rung(epoch, self.rungs[-1] if self.rungs else None))
        for below, above in pairwise(self.rungs):
            below.above = above
        self.full: set[int] = set()  # trials that trained for max_epochs

    def report(self, trial: int, epoch: int, value: float) -> str:
        """What a trial does after `epoch` epochs with this objective value: CONTINUE, PAUSE or STOP.

        A trial goes on without a pause exactly when `next` would promote it at once. An epoch that is reported again,
        by a trial resumed from its checkpoint, keeps its first score. A trial that reports its last epoch without a
        promotion was reused from an earlier sweep: it counts as promoted from every rung.
        """
        if epoch >= self.max_epochs:
            self.full.add(trial)
            self._passes(trial, self.rungs)
            return STOP
        reached = [rung for rung in self.rungs if rung.epoch <= epoch]
        if not reached:
            return CONTINUE
        for rung in reached:
            if trial not in rung.scores:
                rung.put(trial, self.sign * value if math.isfinite(value) else -math.inf)
        *passed, top = reached
        self._passes(trial, passed)
        if self._first() == (top, trial):
            top.promote(trial)
        return CONTINUE if top.let_pass(trial) else PAUSE

    def abandon(self, trial: int) -> None:
        """The trial diverged or failed: it takes the last place at the first rung that it was not promoted from."""
        rung = next((rung for rung in self.rungs if not rung.let_pass(trial)), None)
        if rung:
            rung.put(trial, -math.inf)

    def next(self) -> int | None:
        """Promote a paused trial and return its number, or None when no rung has one to promote.

        A trial that `close` promoted before is promoted too, but not returned: it already went on. From here on it
        counts at the next rung.
        """
        while first := self._first():
            rung, trial = first
            rung.promote(trial)
            if trial not in rung.closed:
                return trial
        return None

    def due(self) -> bool:
        """Whether `next` would promote any."""
        return self._first() is not None

    def close(self, standing: dict[int, bool]) -> int | None:
        """Promote a paused trial when no new one can come and `next` has none; None where none is to go on, or not yet.

        `standing` are the trials that began and have not ended: number -> whether it is paused. While one runs, it may
        still reach a rung, so none is promoted.
        """
        if not all(standing.values()):
            return None
        stuck = {trial for rung in self.rungs for trial, score in rung.scores.items() if score == -math.inf}
        sound = (standing.keys() | self.full) - stuck
        for rung in self.rungs:
            if (trial := rung.closable(self.eta, sound)) is not None:
                rung.closed.add(trial)
                return trial
        return None

    def reason(self, trial: int) -> str:
        """Why a paused trial was never promoted: the rung where it stayed, as `asha@9`."""
        reached = [rung.epoch for rung in self.rungs if trial in rung.scores]
        return f"asha@{reached[-1]}" if reached else "asha"

    def rungs_of(self, trial: int) -> list[int]:
        return [rung.epoch for rung in self.rungs]

    def _passes(self, trial: int, rungs: list[Rung]) -> None:
        """Count the trial as promoted from these rungs, except where closing let it pass."""
        for rung in rungs:
            if trial not in rung.closed:
                rung.promote(trial)

    def _first(self) -> tuple[Rung, int] | None:
        """The next promotion, searched from the top rung down (get_job in Algorithm 2)."""
        due = ((rung, rung.promotable(self.eta)) for rung in reversed(self.rungs))
        return next(((rung, trial) for rung, trial in due if trial is not None), None)


def _take_out(places: list[Place], place: Place) -> None:
    """Remove a place from sorted ones, if it is there."""
    index = bisect_left(places, place)
    if places[index : index + 1] == [place]:
        del places[index]


def rung_epochs(grace_epochs: int, reduction_factor: float, max_epochs: int) -> list[int]:
    """The epochs below max_epochs at which trials are compared."""
    epochs, rung = [], float(grace_epochs)
    while int(rung) < max_epochs:
        epochs.append(int(rung))
        rung *= reduction_factor
    return list(dict.fromkeys(epochs))  # a factor near 1 gives the same epoch twice
