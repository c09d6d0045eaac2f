"""The plan of a sweep: made once from its spec, then passed to all code that runs, records or reports the sweep."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Self

from orchestrator.space.assembly import Candidate
from orchestrator.space.candidates import Point, places
from orchestrator.space.probing import probing
from orchestrator.space.trials import Trial, list_trials, trials_of

if TYPE_CHECKING:
    from orchestrator.spec.records import SweepSpec


@dataclass(frozen=True)
class Round:
    """How many trials a sweep has from one start to its end: as it began, or as it was extended once.

    Their numbers follow those of the round before: first the listed ones, then the drawn, then those that confirm.
    """

    listed: int
    """Trials that are known before the round starts."""
    draws: int
    """Configurations that a searcher draws while it runs."""
    seeds: int
    """Trials of each of these."""
    confirming: int
    """Trials that confirm the best configurations, at most."""

    @property
    def searching(self) -> int:
        """How many trials the search has."""
        return self.listed + self.draws * self.seeds

    def __len__(self) -> int:
        return self.searching + self.confirming


@dataclass(frozen=True)
class Plan:
    """A spec, and its trials that are known before the start: none if a searcher draws them while the sweep runs.

    A sweep that was extended has the trials of all rounds that are known, and `recorded` rounds.
    """

    spec: "SweepSpec"
    trials: list[Trial]
    recorded: tuple[Round, ...] = ()

    @classmethod
    def of(cls, spec: "SweepSpec") -> Self:
        """The plan of a new sweep. A resumed sweep reads its trials from its journal."""
        return cls(spec, list_trials(spec))

    @cached_property
    def rounds(self) -> tuple[Round, ...]:
        """The rounds of the sweep: one, and one more for each time that it was extended."""
        if self.recorded:
            return self.recorded
        first = Round(len(self.trials), 0 if self.trials else len(self.places), self.spec.seeds, 0)
        again = self.spec.confirm
        most = min(again.top, first.searching // self.spec.seeds) * again.seeds if again else 0
        return (Round(first.listed, first.draws, first.seeds, most),)

    @property
    def first_trials(self) -> list[Trial]:
        """The trials that were known when the sweep began."""
        return self.trials[: self.rounds[0].listed]

    @cached_property
    def places(self) -> list[Point]:
        """The grid point of each configuration that is drawn while the sweep runs, in the order of drawing."""
        return places(self.spec)

    @cached_property
    def searching(self) -> int:
        """How many trials the search has."""
        return sum(each.searching for each in self.rounds)

    @cached_property
    def confirming(self) -> int:
        """How many trials confirm the best configurations."""
        return sum(each.confirming for each in self.rounds)

    def __len__(self) -> int:
        """How many trials there will be."""
        return self.searching + self.confirming

    @cached_property
    def last_search(self) -> int:
        """The number after which those follow that confirm the search of the last round."""
        return len(self) - self.rounds[-1].confirming

    def confirmed(self, trials: int) -> "Plan":
        """The plan once it is known how many trials confirm the best of the last round: perhaps fewer than planned."""
        last = replace(self.rounds[-1], confirming=trials)
        return Plan(self.spec, self.trials, (*self.rounds[:-1], last))

    def confirms(self, number: int) -> bool:
        """Whether a trial's number is one of those that confirm the best configurations."""
        return any(offset >= each.searching for each, offset, _ in self._at(number))

    def configuration(self, number: int) -> int | None:
        """The configuration that is drawn for a trial's number; None if it is not drawn while the sweep runs."""
        for each, offset, drawn in self._at(number):
            if each.listed <= offset < each.searching:
                return drawn + (offset - each.listed) // each.seeds + 1
        return None

    def numbers(self, configuration: int) -> range:
        """The numbers of the trials of a configuration that is drawn while the sweep runs."""
        before, drawn = 0, 0
        for each in self.rounds:
            if configuration <= drawn + each.draws:
                first = before + each.listed + (configuration - drawn - 1) * each.seeds + 1
                return range(first, first + each.seeds)
            before, drawn = before + len(each), drawn + each.draws
        raise LookupError(configuration)

    def _at(self, number: int) -> Iterator[tuple[Round, int, int]]:
        """The round of a number, how many numbers of it come before, and how many draws before the round."""
        before, drawn = 0, 0
        for each in self.rounds:
            if before < number <= before + len(each):
                yield each, number - before - 1, drawn
            before, drawn = before + len(each), drawn + each.draws

    @cached_property
    def examples(self) -> list[Trial]:
        """The trials known before the start; if some are drawn, trials with each option and each end of a range."""
        if self.trials and not any(each.draws for each in self.rounds):
            return self.trials
        run = self.spec.run.model_dump(mode="json")
        probed = [found for _, found in probing(run, self.spec.search)] or [Candidate(run, {}, {}, {})]
        return trials_of(self.spec, probed)
