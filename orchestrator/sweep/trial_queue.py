"""The queue of a sweep's trials, by number: those that are known up front and those that are found while it runs.

The numbers are known from the start: first those of the search, then those that confirm it, and so on for each time
that the sweep was extended. The trial of a number is found when a slot asks for it: drawn by a searcher, chosen among
the best, or reused from an earlier sweep. Each is recorded in the journal, so none is found twice.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from orchestrator.space import tpe
from orchestrator.space.assembly import Candidate
from orchestrator.space.candidates import identity, same_run
from orchestrator.space.plan import Plan
from orchestrator.space.trials import CONFIRM, SEARCH, Trial, replicas
from orchestrator.storage import layout
from orchestrator.sweep import reuse
from orchestrator.sweep.ranking import configurations
from orchestrator.sweep.results_file import INTERRUPTED, first_run
from orchestrator.sweep.state import WORST, SweepState

Point = frozenset[tuple]
"""A point of the grids: the place of each active grid, and the position of its option."""

TPE_DRAWS, RANDOM_DRAWS = 20, 1_000  # draws by TPE, then at random, after which none is assumed to be left


class TrialQueue:
    """Finds the trials of a sweep, numbered from 1 to `len`, and records them in its state.

    Args:
        plan: of the sweep.
        state: of the sweep.
        allowed: whether a configuration that was drawn can run.
        finished_trials: of earlier sweeps, which may be reused; None: none.
    """

    def __init__(
        self,
        plan: Plan,
        state: SweepState,
        allowed: Callable[[Candidate], bool] = lambda found: True,
        finished_trials: reuse.FinishedTrials | None = None,
    ):
        self.plan, self.spec, self.state = plan, plan.spec, state
        self.allowed, self.finished_trials = allowed, finished_trials
        self.histories: dict[Point, tpe.History] = {}
        self.taken: set[str] = set()  # the Runs that were found, by `same_run`
        self.exhausted: set[Point] = set()  # where a draw found nothing new
        self.learnt = 0, 0  # trials, and draws, that are in these

    def __len__(self) -> int:
        return len(self.plan)

    def left(self) -> Iterator[int]:
        """The numbers whose trials have not ended, or are yet to be found."""
        return (number for number in range(1, len(self) + 1) if not self._settled(number))

    def confirms(self, number: int) -> bool:
        """Whether a number is of the confirming stage, for which the search must be over."""
        return self.plan.confirms(number)

    def broken(self, name: str) -> bool:
        """Whether an earlier process left a trial running, or pausing with files still to be drawn, or to be sent."""
        config, paused = self.state.results_file.trials[name], self.state.standing[name]
        folder, epochs = Path(config["folder"]), self._entries[name]["epochs"]
        metrics = folder / layout.METRICS
        behind = not metrics.exists() or metrics.read_bytes().count(b"\n") < epochs
        drawn = not config["draws"] or layout.pictures_folder(folder, epochs).exists()
        return not paused or behind or not drawn

    def complete(self) -> bool:
        """Whether every trial of the sweep has ended by itself or, once the budget is used up, each that began."""
        ended = all(entry["status"] and entry["reason"] != INTERRUPTED for entry in self._entries.values())
        return ended and not self.state.standing and (self.state.budget.empty is not None or not any(self.left()))

    def enter(self, number: int) -> dict[str, Any] | None:
        """The slot config of a trial that has not had a slot; None if it is reused, or the number has no trial.

        Raises OSError (disk full).
        """
        if not self._found(number):
            self._find(number)
        name = self.state.names.get(number)
        config = self.state.results_file.trials.get(name)
        finished = self.finished_trials and config and self.finished_trials.like(config)
        if finished:
            self.state.reuse(name, finished.source, reuse.copy(finished, Path(config["folder"])))
        return None if finished else config

    @property
    def _entries(self) -> dict[str, dict]:
        return self.state.results_file.entries

    def _settled(self, number: int) -> bool:
        name = self.state.names.get(number)
        if name is None:
            return self._found(number)
        return name not in self.state.standing and bool(self._entries.get(name, {}).get("status"))

    def _found(self, number: int) -> bool:
        """Whether it is known which trial has a number, or that none has."""
        if number in self.state.names:
            return True
        if self.confirms(number):  # those of an earlier round are not found any more: the last one confirms for all
            return self.state.confirming is not None or number <= self.plan.last_search
        return self.plan.configuration(number) in self.state.params

    def _find(self, number: int) -> None:
        if self.confirms(number):
            self.state.confirm([asdict(trial) for trial in self._best_again()])
            return
        configuration = self.plan.configuration(number)
        drawn = self._draw(configuration)
        trials = replicas(configuration, drawn.found, self.plan.numbers(configuration)) if drawn else []
        self.state.draw(configuration, drawn and drawn.params, [asdict(trial) for trial in trials])

    def _draw(self, configuration: int) -> tpe.Draw | None:
        """A configuration that can run and has not been drawn before, if one is found."""
        self._learn()
        if self._point(configuration) in self.exhausted:
            return None
        new = (drawn for drawn in self._draws(configuration) if identity(drawn.found) not in self.taken)
        return next((drawn for drawn in new if self.allowed(drawn.found)), None)

    def _draws(self, configuration: int) -> Iterator[tpe.Draw]:
        point, history = self.plan.places[configuration - 1], self._history(configuration)
        for attempt in range(TPE_DRAWS + RANDOM_DRAWS):
            seed = [self.spec.search_seed, configuration, attempt]
            guided = attempt < TPE_DRAWS
            yield tpe.draw(self.spec, point, history, seed) if guided else tpe.draw_random(self.spec, point, seed)

    def _learn(self) -> None:
        """Take in what is new since the last draw: all that a draw looks at is kept, and never read through again."""
        trials, params = self.state.results_file.trials, self.state.params
        for trial in islice(trials.values(), self.learnt[0], None):
            self.taken.add(same_run(first_run(trial)))
        for configuration, found in islice(params.items(), self.learnt[1], None):
            if found is None:  # none was left at this point
                self.exhausted.add(self._point(configuration))
        self.learnt = len(trials), len(params)
        for name in self.state.take_changed():
            number, configuration = trials[name]["number"], trials[name]["configuration"]
            if trials[name]["stage"] == SEARCH and params.get(configuration) is not None:
                known = self._standing(params[configuration], name)
                self._history(configuration).tell((configuration, number), known)

    def _history(self, configuration: int) -> tpe.History:
        """What is known of the configurations drawn at the same point of the grids."""
        point = self._point(configuration)
        if point not in self.histories:
            self.histories[point] = tpe.History(self.spec)
        return self.histories[point]

    def _point(self, configuration: int) -> Point:
        """The point of the grids at which a configuration is drawn: the positions of its options."""
        return frozenset((where, pick.below) for where, pick in self.plan.places[configuration - 1].items())

    def _standing(self, params: tpe.Params, name: str) -> tpe.Known:
        entry = self._entries.get(name, {"status": None, "epochs": 0, "last": {}})
        if entry["status"] is None:
            state = tpe.HALFWAY if self.state.standing.get(name) else tpe.RUNNING
        else:
            state = STATES.get(entry["status"], tpe.HALFWAY)
        return tpe.Known(params, state, entry["epochs"], entry["last"].get(self.spec.objective.metric))

    def _best_again(self) -> Iterator[Trial]:
        """The best configurations of the search that are not confirmed yet, each with fresh seeds."""
        number, trials = self.plan.last_search, self.state.results_file.trials.values()
        results = self.state.results_file.results()
        results |= {"trials": [trial for trial in results["trials"] if trial["stage"] == SEARCH]}
        ranked = [one["configuration"] for one in configurations(results) if one["n"]]
        confirmed = {trial["configuration"] for trial in trials if trial["stage"] == CONFIRM}
        for configuration in [one for one in ranked[: self.spec.confirm.top] if one not in confirmed]:
            own = [trial for trial in trials if trial["configuration"] == configuration]
            first, fresh = own[0], max(trial["seed"] for trial in own) + 1
            for seed in range(fresh, fresh + self.spec.confirm.seeds):
                number += 1
                yield Trial(number, configuration, first["config"], first["run"] | {"seed": seed}, seed, CONFIRM)


STATES = dict.fromkeys(WORST, tpe.WORST) | {"completed": tpe.DONE}
"""The status of an ended trial -> its state for TPE. With any other status it counts as HALFWAY."""
