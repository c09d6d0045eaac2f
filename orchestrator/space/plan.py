"""A sweep before it starts: made once from its spec, then handed to whoever runs it, records it or tells of it."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Self

from orchestrator.space.assembly import Candidate
from orchestrator.space.candidates import Point, places
from orchestrator.space.probing import probing
from orchestrator.space.trials import Trial, list_trials, replicas

if TYPE_CHECKING:
    from orchestrator.spec.records import SweepSpec


@dataclass(frozen=True)
class Plan:
    """A spec, and its trials that are known up front: none where a searcher draws them while the sweep runs."""

    spec: "SweepSpec"
    trials: list[Trial]

    @classmethod
    def of(cls, spec: "SweepSpec") -> Self:
        """The plan of a sweep that is new. One that is resumed has its trials from its journal."""
        return cls(spec, list_trials(spec))

    @cached_property
    def places(self) -> list[Point]:
        """Where in the grids each configuration lies that is drawn while the sweep runs, in the order of drawing."""
        return places(self.spec)

    @cached_property
    def searching(self) -> int:
        """How many trials search."""
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
        """The trials that are known up front; where there are none, those with each option and each end of a range."""
        if self.trials:
            return self.trials
        run = self.spec.run.model_dump(mode="json")
        probed = [found for _, found in probing(run, self.spec.search)] or [Candidate(run, {}, {}, {})]
        numbered = enumerate(probed, start=1)
        return [trial for number, found in numbered for trial in replicas(self.spec, number, found)]
