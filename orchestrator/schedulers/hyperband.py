"""Asynchronous Hyperband: several ASHAs side by side, each stopping trials later than the one before.

Sources: Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning", section 3.1 (brackets and their
early-stopping rates s); the brackets' sizes are those of Li et al. 2018, "Hyperband", Algorithm 1. How brackets share
the slots is this project's choice: trials are assigned to brackets by number, a bracket takes no slot from another's
running trial, and a free slot goes to the promotions of the first bracket first. Each bracket is closed as ASHA is, so
that at least one of its trials is trained in full.
"""

from collections import Counter
from typing import ClassVar, Literal

from orchestrator.schedulers.asha import Asha, PromotionAsha


class Hyperband(Asha):
    """Several ASHAs side by side: the first with grace_epochs, each further one with reduction_factor times as many.

    This hedges against an objective that says little early on: the last one stops trials late, if at all, and each
    trains at least one trial in full.
    """

    competitors: ClassVar[str] = "trials of a bracket"

    name: Literal["hyperband"] = "hyperband"

    source: ClassVar[str] = "Li et al. 2020, A system for massively parallel hyperparameter tuning, section 3"

    def build(self, mode: str) -> "HyperbandBrackets":
        return HyperbandBrackets(mode, self.max_epochs, self.grace_epochs, self.reduction_factor)

    def brackets(self, trials: int) -> list[tuple[int, int]]:
        graces = bracket_graces(self.grace_epochs, self.reduction_factor, self.max_epochs)
        deal = Deal(bracket_sizes(len(graces), self.reduction_factor))
        counts = Counter(deal.bracket(number) for number in range(1, trials + 1))
        return [(grace, counts[number]) for number, grace in enumerate(graces)]


class HyperbandBrackets:
    """Bracket s is a PromotionAsha whose grace is grace_epochs * eta^s.

    One whose grace reaches max_epochs has no rung, so its trials train in full. Like PromotionAsha this changes only
    through `report`, `abandon`, `next` and `close`, and its answers follow from the calls before.
    """

    def __init__(self, mode: str, max_epochs: int, grace_epochs: int, reduction_factor: int):
        graces = bracket_graces(grace_epochs, reduction_factor, max_epochs)
        self.brackets = [PromotionAsha(mode, max_epochs, grace, reduction_factor) for grace in graces]
        self.deal = Deal(bracket_sizes(len(graces), reduction_factor))

    def report(self, trial: int, epoch: int, value: float) -> str:
        """What a trial does after `epoch` epochs: the answer of its bracket."""
        return self.brackets[self.deal.bracket(trial)].report(trial, epoch, value)

    def abandon(self, trial: int) -> None:
        """The trial diverged or failed."""
        self.brackets[self.deal.bracket(trial)].abandon(trial)

    def next(self) -> int | None:
        """Promote a paused trial of the first bracket that has one to promote, and return its number."""
        promoted = (bracket.next() for bracket in self.brackets)
        return next((trial for trial in promoted if trial is not None), None)

    def due(self) -> bool:
        """Whether `next` would promote any."""
        return any(bracket.due() for bracket in self.brackets)

    def close(self, standing: dict[int, bool]) -> int | None:
        """Promote a paused trial of the first bracket where none runs and one is to go on; `standing` as in base.py."""
        dealt = {trial: self.deal.bracket(trial) for trial in standing}
        own = ({trial: standing[trial] for trial in standing if dealt[trial] == s} for s in range(len(self.brackets)))
        promoted = (bracket.close(of) for bracket, of in zip(self.brackets, own, strict=True))
        return next((trial for trial in promoted if trial is not None), None)

    def reason(self, trial: int) -> str:
        """Why a paused trial was never promoted, as `bracket 1: asha@9`."""
        bracket = self.deal.bracket(trial)
        return f"bracket {bracket}: {self.brackets[bracket].reason(trial)}"

    def rungs_of(self, trial: int) -> list[int]:
        """Those of its bracket: each bracket begins at another epoch."""
        return self.brackets[self.deal.bracket(trial)].rungs_of(trial)


class Deal:
    """Assigns trials 1, 2, ... to brackets so that, at any time, each has about its share."""

    def __init__(self, sizes: list[int]):
        self.sizes = sizes
        self.counts = [0] * len(sizes)
        self.brackets: list[int] = []  # of the trials assigned so far

    def bracket(self, trial: int) -> int:
        """The bracket of a trial. It does not depend on the order in which trials are asked for."""
        while len(self.brackets) < trial:
            behind = min(range(len(self.sizes)), key=lambda each: (self.counts[each] + 1) / self.sizes[each])
            self.counts[behind] += 1
            self.brackets.append(behind)
        return self.brackets[trial - 1]


def bracket_graces(grace_epochs: int, reduction_factor: int, max_epochs: int) -> list[int]:
    """The grace epochs of each bracket: grace_epochs * eta^s up to max_epochs; at least one bracket."""
    graces = [grace_epochs]
    while graces[-1] * reduction_factor <= max_epochs:
        graces.append(graces[-1] * reduction_factor)
    return graces


def bracket_sizes(brackets: int, reduction_factor: int) -> list[int]:
    """How many trials bracket s = 0 ... S has in a round of Hyperband: ceil((S + 1) / (S + 1 - s) * eta^(S - s))."""
    return [-(-brackets * reduction_factor ** (brackets - 1 - s) // (brackets - s)) for s in range(brackets)]
