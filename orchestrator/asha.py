"""Promotion ASHA: which trial pauses, which goes on. Nothing here knows Ray, a clock or a random number.

Source: Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning", Algorithm 2.

A scheduler changes only through `report`, `abandon` and `next`, and their answers follow from the calls before them.
So the list of those calls is all of its state: written to a journal and played again, it gives the same scheduler.
"""

import math
from dataclasses import dataclass, field

CONTINUE = "continue"  # train the next epoch
PAUSE = "pause"  # keep the checkpoint and give up the slot; `next` may call the trial back
STOP = "stop"  # the trial has trained for as long as any trial may


@dataclass(slots=True, eq=False)
class Rung:
    """The trials that reached an epoch, with their scores there, and those of them that went on."""

    epoch: int
    scores: dict[int, float] = field(default_factory=dict)  # trial number -> score, more is better; -inf: not finite
    promoted: set[int] = field(default_factory=set)

    def best(self, eta: float) -> list[int]:
        """The top floor(n / eta) of the n trials here, best first; of equal ones the lower number first."""
        ranked = sorted(self.scores, key=lambda trial: (-self.scores[trial], trial))
        return ranked[: int(len(ranked) // eta)]

    def promotable(self, eta: float) -> int | None:
        """The best trial that may go on and has not yet. A score that is not finite fills a place but earns none."""
        ready = (trial for trial in self.best(eta) if trial not in self.promoted and self.scores[trial] > -math.inf)
        return next(ready, None)


class Asha:
    """Trials pause at epochs grace_epochs * eta^k; the best 1/eta of those that reached one go on to the next.

    A value that is not finite counts as the worst there is. Trials are known by their number.
    """

    def __init__(self, mode: str, max_epochs: int, grace_epochs: int, reduction_factor: float):
        self.sign = {"max": 1.0, "min": -1.0}[mode]
        self.max_epochs = max_epochs
        self.eta = reduction_factor
        self.rungs = [Rung(epoch) for epoch in rung_epochs(grace_epochs, reduction_factor, max_epochs)]

    def report(self, trial: int, epoch: int, value: float) -> str:
        """What a trial does after `epoch` epochs with this objective value: CONTINUE, PAUSE or STOP.

        A trial goes on without a pause exactly when `next` would have called it back at once. An epoch that is reported
        again, by a trial taken up from its checkpoint, gets the answer that it would have had. A trial that is at its
        end, though no rung let it pass, was trained by an earlier sweep: no rung can call it back.
        """
        if epoch >= self.max_epochs:
            for rung in self.rungs:
                rung.promoted.add(trial)
            return STOP
        reached = [rung for rung in self.rungs if rung.epoch <= epoch]
        if not reached:
            return CONTINUE
        for rung in reached:
            rung.scores.setdefault(trial, self.sign * value if math.isfinite(value) else -math.inf)
        *passed, top = reached
        for rung in passed:
            rung.promoted.add(trial)
        if self._first() == (top, trial):
            self.next()
        return CONTINUE if trial in top.promoted else PAUSE

    def abandon(self, trial: int) -> None:
        """The trial diverged or failed: at the first rung that it was not promoted from it takes the last place."""
        rung = next((rung for rung in self.rungs if trial not in rung.promoted), None)
        if rung:
            rung.scores[trial] = -math.inf

    def next(self) -> int | None:
        """Promote a paused trial and give its number, or None when no rung has one to promote."""
        first = self._first()
        if first is None:
            return None
        rung, trial = first
        rung.promoted.add(trial)
        return trial

    def reason(self, trial: int) -> str:
        """Why a paused trial was never called back: the rung where it stayed, as `asha@9`."""
        reached = [rung.epoch for rung in self.rungs if trial in rung.scores]
        return f"asha@{reached[-1]}" if reached else "asha"

    def _first(self) -> tuple[Rung, int] | None:
        """The promotion that is due first, from the top rung down (get_job in Algorithm 2)."""
        due = ((rung, rung.promotable(self.eta)) for rung in reversed(self.rungs))
        return next(((rung, trial) for rung, trial in due if trial is not None), None)


class RunAll:
    """No early stopping: every trial trains to its end, in order."""

    def report(self, trial: int, epoch: int, value: float) -> str:
        return CONTINUE

    def abandon(self, trial: int) -> None:
        pass

    def next(self) -> int | None:
        return None

    def reason(self, trial: int) -> str:
        return ""


def rung_epochs(grace_epochs: int, reduction_factor: float, max_epochs: int) -> list[int]:
    """The epochs below max_epochs at which trials are compared."""
    epochs, rung = [], float(grace_epochs)
    while int(rung) < max_epochs:
        epochs.append(int(rung))
        rung *= reduction_factor
    return list(dict.fromkeys(epochs))  # a factor near 1 names the same epoch twice
