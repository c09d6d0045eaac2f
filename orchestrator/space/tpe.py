"""The searcher `optuna`: draws configurations one by one with TPE, from what is known of the trials so far.

A draw is a function of a seed (which `sweep/trial_queue.py` makes from search_seed and the configuration's number) and
of what is known. No sampler is kept between draws, so a resumed sweep draws what it would have drawn: its journal holds
all that is known.

TPE reads all that it is given at each draw. It counts a tenth of the trials as good, but at most BEST, so from MOST
trials on always as many. Where more are known at a point of the grids, it is given those good ones and the latest of
the others, which it weighs most. So a draw costs the same however long a sweep goes on.
"""

import warnings
from bisect import bisect_left, insort
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from orchestrator.space.assembly import Candidate, assemble
from orchestrator.space.entries import in_order
from orchestrator.spec.diagnostics import KeyPath, show_path
from orchestrator.spec.domains import Domain, Pick, Scale, Walked

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial, Trial

    from orchestrator.space.candidates import Point
    from orchestrator.spec.records import SweepSpec

BEST, MOST = 25, 250  # the most trials that TPE counts as good, and the most that it is given
RUNNING, HALFWAY, DONE, WORST = "running", "halfway", "done", "worst"

Params = dict[str, float]
"""What was drawn: the place of each domain in the spec -> a number on the domain's scale."""


Place = tuple[int, ...]
"""Sorts trials in the order in which TPE is to have them."""

Rank = tuple[float, float, float, Place]
"""Sorts trials from best to worst."""


class Known(NamedTuple):
    """What is known of one trial: RUNNING, HALFWAY (paused or stopped), DONE or WORST (diverged or failed)."""

    params: Params
    state: str
    epoch: int  # the last one trained
    value: float | None  # the objective after that epoch; None: not finite


class Draw(NamedTuple):
    """A configuration, and the numbers that it was made from."""

    params: Params
    found: Candidate


class History:
    """What is known of the trials at one point of the grids of a search, in Optuna's form: each is told once."""

    def __init__(self, spec: "SweepSpec"):
        self.spec, self.sign = spec, {"max": -1.0, "min": 1.0}[spec.objective.mode]
        self.distributions = {
            show_path(where): _distribution(domain.scale()) for where, domain in _drawn_from(spec.search)
        }
        self.trials: dict[Place, FrozenTrial] = {}
        self.order: list[Place] = []  # of all trials
        self.ranks: dict[Place, Rank] = {}  # of those that do not run
        self.best: list[Rank] = []  # the same, the best first

    def tell(self, place: Place, known: Known) -> None:
        """Tell what is known of a trial, anew or for the first time."""
        if place not in self.trials:
            insort(self.order, place)
        elif place in self.ranks:
            del self.best[bisect_left(self.best, self.ranks.pop(place))]
        if known.value is None and known.state != RUNNING:
            known = known._replace(state=WORST)
        self.trials[place] = _frozen(known, self.distributions)
        if known.state != RUNNING:
            self.ranks[place] = self._rank(place, known)
            insort(self.best, self.ranks[place])

    def known(self) -> list["FrozenTrial"]:
        """The trials that TPE is given, in their order."""
        places = self.order
        if len(places) > MOST:
            best = {place for *_, place in self.best[:BEST]}
            places = sorted({*places[BEST - MOST :], *best})
        return [self.trials[place] for place in places]

    def _rank(self, place: Place, known: Known) -> Rank:
        """As Optuna ranks them: those that were trained in full, then those that came further."""
        if known.state == WORST:
            return 1, 1, 0.0, place
        group = (0, 0) if known.state == DONE else (1, -known.epoch)
        return *group, self.sign * known.value, place


def draw(spec: "SweepSpec", point: "Point", history: History, seed: list[int]) -> Draw:
    """Draw a configuration by TPE at a point of the grids; `seed` is whole numbers. It may repeat an earlier one."""
    asked = _study(spec, history.known(), seed).ask()
    return _drawn(spec, point, lambda name, scale: _suggested(asked, name, scale))


def draw_random(spec: "SweepSpec", point: "Point", seed: list[int]) -> Draw:
    """Like `draw`, but at random: fast, and without regard to results."""
    rng = np.random.default_rng(seed)
    return _drawn(spec, point, lambda name, scale: _by_chance(rng, scale))


def _drawn(spec: "SweepSpec", point: "Point", number: Callable[[str, Scale], float]) -> Draw:
    params = {}

    def pick(domain: Domain, where: KeyPath) -> Pick:
        if where in point:
            return point[where]
        name = show_path(where)
        params[name] = number(name, domain.scale())
        return domain.at(params[name])

    return Draw(params, assemble(spec.run.model_dump(mode="json"), in_order(spec.search), pick))


def _by_chance(rng: np.random.Generator, scale: Scale) -> float:
    low, high, log, whole, _ = scale
    if whole:
        return int(rng.integers(low, high, endpoint=True))
    share = rng.random()
    return low ** (1 - share) * high**share if log else low * (1 - share) + high * share


def _suggested(asked: "Trial", name: str, scale: Scale) -> float:
    low, high, log, whole, labels = scale
    if labels:
        return asked.suggest_categorical(name, range(int(high) + 1))
    return (asked.suggest_int if whole else asked.suggest_float)(name, low, high, log=log)


def _study(spec: "SweepSpec", known: list["FrozenTrial"], seed: list[int]):
    import optuna

    from orchestrator.space.optuna_storage import GivenTrials

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    state = int(np.random.SeedSequence(seed).generate_state(1)[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # of `group`
        sampler = optuna.samplers.TPESampler(
            seed=state, n_startup_trials=spec.searcher.startup_trials, multivariate=True, group=True
        )
    direction = {"max": "maximize", "min": "minimize"}[spec.objective.mode]
    return optuna.create_study(storage=GivenTrials(known), sampler=sampler, direction=direction)


def _frozen(known: Known, distributions: dict[str, "BaseDistribution"]) -> "FrozenTrial":
    """A trial in Optuna's form. Of those that did not finish, TPE ranks one that reached a later epoch higher."""
    from optuna.trial import TrialState, create_trial

    worst = {"state": TrialState.PRUNED}  # without any value: ranked behind all that have one
    words = {
        RUNNING: {"state": TrialState.RUNNING},
        HALFWAY: worst | {"intermediate_values": {known.epoch: known.value}},
        DONE: {"state": TrialState.COMPLETE, "value": known.value},
        WORST: worst,
    }
    return create_trial(
        params=known.params, distributions={name: distributions[name] for name in known.params}, **words[known.state]
    )


def _drawn_from(tree: Any, where: KeyPath = ("search",)) -> Iterator[tuple[KeyPath, Domain]]:
    """Each domain that is drawn from, with its place in the spec."""
    if isinstance(tree, Domain):
        if not isinstance(tree, Walked):
            yield where, tree
        for below, value in tree.probes():
            yield from _drawn_from(value, where + below)
    elif isinstance(tree, dict):
        for key, value in tree.items():
            yield from _drawn_from(value, (*where, key))


def _distribution(scale: Scale) -> "BaseDistribution":
    """The distribution that `_suggested` draws from."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if scale.labels:
        return CategoricalDistribution(range(int(scale.high) + 1))
    return (IntDistribution if scale.whole else FloatDistribution)(scale.low, scale.high, log=scale.log)
