"""The plan of a sweep: made once from its spec, then passed to all code that runs, records or reports the sweep."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Self

from orchestrator.space.assembly import Candidate
from orchestrator.space.candidates import Point, places
from orchestrator.space.probing import probing
from orchestrator.space.trials import Trial, list_trials, trials_of

if TYPE_CHECKING:
    from orchestrator.spec.records import SweepSpec


@dataclass(frozen=True)
class Plan:
    """A spec, and its trials that are known before the start: none if a searcher draws them while the sweep runs."""

    spec: "SweepSpec"
    trials: list[Trial]

    @classmethod
    def of(cls, spec: "SweepSpec") -> Self:
        """The plan of a new sweep. A resumed sweep reads its trials from its journal."""
        return cls(spec, list_trials(spec))

    @cached_property
    def places(self) -> list[Point]:
        """The grid point of each configuration that is drawn while the sweep runs, in the order of drawing."""
        return places(self.spec)

    @cached_property
    def searching(self) -> int:
        """How many trials the search has."""
        return len(self.trials) or len(self.places) * self.spec.seeds

    @cached_property
    def confirming(self) -> int:
        """How many trials confirm the best configurations."""
        again = self.spec.confirm
        return min(again.top, self.searching // self.spec.seeds) * again.seeds if again else 0

    def __len__(self) -> int:
        """How many trials there will be."""
        return self.searching + self.confirming

    @cached_property
    def examples(self) -> list[Trial]:
        """The trials known before the start; if there are none, trials with each option and each end of a range."""
        if self.trials:
            return self.trials
        run = self.spec.run.model_dump(mode="json")
        probed = [found for _, found in probing(run, self.spec.search)] or [Candidate(run, {}, {}, {})]
        return trials_of(self.spec, probed)
