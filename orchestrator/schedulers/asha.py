"""Promotion ASHA: which trial pauses, which goes on. Nothing here knows Ray, a clock or a random number.

Source: Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning", Algorithm 2.

A scheduler changes only through `report`, `abandon`, `next` and `close`; their answers follow from the calls before.
So the list of those calls is all of its state: written to a journal and played again, it gives the same scheduler.

Algorithm 2 alone would leave a small search without a trial that is trained in full: of fewer than eta trials at a rung
it promotes none. So the search is closed: once no trial can come to a rung any more, the best max(1, floor(n / eta)) of
it go on, the lowest rung first. These promotions are kept apart. Should further trials come after all, Algorithm 2
answers and counts as if none of them had been made, but for the training: that is not done again.
"""

import math
from collections.abc import Collection, Container
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, PositiveInt

from orchestrator.schedulers.base import CONTINUE, PAUSE, STOP, SchedulerRecord


class Asha(SchedulerRecord):
    """Asynchronous successive halving: stops trials early that are behind others at the same epoch.

    When no trial can come to a rung any more, the best max(1, floor(n / reduction_factor)) of the n there go on: so one
    at least is trained in full.
    """

    decides_epochs: ClassVar[bool] = True
    competitors: ClassVar[str] = "trials"  # those that are compared

    name: Literal["asha"] = "asha"
    grace_epochs: PositiveInt = 3
    """Epochs that every trial gets: the first rung."""
    reduction_factor: Annotated[int, Field(ge=2)] = 3
    """One in so many trials goes on from rung to rung; rungs lie this factor apart."""
    max_epochs: PositiveInt | None = None
    """Epochs of the best trials; at most, and by default, run.epochs."""

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
        """The first rung of each bracket, of which ASHA is one, and how many of so many trials it gets."""
        return [(self.grace_epochs, trials)]

    def expected_epochs(self, epochs: list[int]) -> float:
        return sum(self._expected(grace, trials) for grace, trials in self.brackets(len(epochs)) if trials)

    def _expected(self, grace_epochs: int, trials: int) -> float:
        """Epochs of one bracket in the mean: one in reduction_factor passes each rung, and at least one."""
        eta, most = self.reduction_factor, self.max_epochs
        rungs = [0, *rung_epochs(grace_epochs, eta, most), most]
        return sum((later - earlier) * max(1, trials / eta**k) for k, (earlier, later) in enumerate(pairwise(rungs)))

    def notes(self, trials: int) -> list[str]:
        """Whether a rung will hold too few trials for one of them to be promoted before the search is closed."""
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


@dataclass(slots=True, eq=False)
class Rung:
    """The trials that reached an epoch, with their scores there, and those of them that went on."""

    epoch: int
    below: "Rung | None" = None
    scores: dict[int, float] = field(default_factory=dict)  # trial number -> score, more is better; -inf: not finite
    promoted: set[int] = field(default_factory=set)  # by Algorithm 2
    closed: set[int] = field(default_factory=set)  # those that went on when no trial could come any more

    def best(self, trials: Collection[int], eta: float) -> list[int]:
        """The top floor(n / eta) of n trials that are here, best first; of equal ones the lower number first."""
        return self.ranked(trials)[: int(len(trials) // eta)]

    def ranked(self, trials: Collection[int]) -> list[int]:
        return sorted(trials, key=lambda trial: (-self.scores[trial], trial))

    def promotable(self, eta: float) -> int | None:
        """The best trial that may go on and has not yet. A score that is not finite fills a place but earns none."""
        here = self.scores if self.below is None else self.scores.keys() & self.below.promoted
        best = self.best(here, eta)
        return next((trial for trial in best if trial not in self.promoted and self.scores[trial] > -math.inf), None)

    def closable(self, eta: float, sound: Container[int]) -> int | None:
        """The best trial that is to go on, and has not, if no further one comes here.

        Those are the top floor(n / eta), and always the best `sound` one: it was trained in full, or still can be.
        """
        alive = [trial for trial in self.ranked(self.scores) if trial in sound]
        due = (trial for trial in [*self.best(self.scores, eta), *alive[:1]] if trial in sound)
        return next((trial for trial in due if not self.let_pass(trial)), None)

    def let_pass(self, trial: int) -> bool:
        """Whether a trial went on from here."""
        return trial in self.promoted or trial in self.closed


class PromotionAsha:
    """Trials pause at epochs grace_epochs * eta^k; the best 1/eta of those that reached one go on to the next.

    A value that is not finite counts as the worst there is. Trials are known by their number.
    """

    def __init__(self, mode: str, max_epochs: int, grace_epochs: int, reduction_factor: float):
        self.sign = {"max": 1.0, "min": -1.0}[mode]
        self.max_epochs = max_epochs
        self.eta = reduction_factor
        self.rungs: list[Rung] = []
        for epoch in rung_epochs(grace_epochs, reduction_factor, max_epochs):
            self.rungs.append(Rung(epoch, self.rungs[-1] if self.rungs else None))
        self.full: set[int] = set()  # trials that came to their end

    def report(self, trial: int, epoch: int, value: float) -> str:
        """What a trial does after `epoch` epochs with this objective value: CONTINUE, PAUSE or STOP.

        A trial goes on without a pause exactly when `next` would have called it back at once. An epoch that is reported
        again, by a trial taken up from its checkpoint, gets the answer that it would have had. A trial that is at its
        end, though no rung let it pass, was trained by an earlier sweep: no rung can call it back.
        """
        if epoch >= self.max_epochs:
            self.full.add(trial)
            self._passes(trial, self.rungs)
            return STOP
        reached = [rung for rung in self.rungs if rung.epoch <= epoch]
        if not reached:
            return CONTINUE
        for rung in reached:
            rung.scores.setdefault(trial, self.sign * value if math.isfinite(value) else -math.inf)
        *passed, top = reached
        self._passes(trial, passed)
        if self._first() == (top, trial):
            top.promoted.add(trial)
        return CONTINUE if top.let_pass(trial) else PAUSE

    def abandon(self, trial: int) -> None:
        """The trial diverged or failed: at the first rung that it was not promoted from it takes the last place."""
        rung = next((rung for rung in self.rungs if not rung.let_pass(trial)), None)
        if rung:
            rung.scores[trial] = -math.inf

    def next(self) -> int | None:
        """Promote a paused trial and give its number, or None when no rung has one to promote.

        One that `close` let pass before is promoted on the way: now it counts at the rungs that it has reached.
        """
        while first := self._first():
            rung, trial = first
            rung.promoted.add(trial)
            if trial not in rung.closed:
                return trial
        return None

    def due(self) -> bool:
        """Whether `next` would promote any."""
        return self._first() is not None

    def close(self, standing: dict[int, bool]) -> int | None:
        """Promote a paused trial when no new one can come and `next` has none; None where none is to go on, or not yet.

        `standing` are the trials that began and have not ended: number -> does it pause? While one runs, nobody knows
        what a rung will hold.
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
        """Why a paused trial was never called back: the rung where it stayed, as `asha@9`."""
        reached = [rung.epoch for rung in self.rungs if trial in rung.scores]
        return f"asha@{reached[-1]}" if reached else "asha"

    def _passes(self, trial: int, rungs: list[Rung]) -> None:
        """The trial is beyond these rungs."""
        for rung in rungs:
            if trial not in rung.closed:
                rung.promoted.add(trial)

    def _first(self) -> tuple[Rung, int] | None:
        """The promotion that is due first, from the top rung down (get_job in Algorithm 2)."""
        due = ((rung, rung.promotable(self.eta)) for rung in reversed(self.rungs))
        return next(((rung, trial) for rung, trial in due if trial is not None), None)


def rung_epochs(grace_epochs: int, reduction_factor: float, max_epochs: int) -> list[int]:
    """The epochs below max_epochs at which trials are compared."""
    epochs, rung = [], float(grace_epochs)
    while int(rung) < max_epochs:
        epochs.append(int(rung))
        rung *= reduction_factor
    return list(dict.fromkeys(epochs))  # a factor near 1 names the same epoch twice
