"""The end of a search: when no trial can come any more, the best of each rung go on until one is trained in full."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.schedulers.asha import PromotionAsha
from orchestrator.schedulers.base import CONTINUE, PAUSE, STOP
from orchestrator.schedulers.hyperband import HyperbandBrackets
from orchestrator.schedulers.run_all import RunAll
from tests.support.objective_values import VALUES

DIVERGES = "diverges"


@st.composite
def searches(draw, most: int = 12):
    """A scheduler's core, a table of values (trial, epoch), where a trial may diverge, and the order of events."""
    grace, eta, epochs = draw(st.integers(1, 3)), draw(st.integers(2, 4)), draw(st.integers(1, 12))
    cell = st.one_of(VALUES, VALUES, st.just(DIVERGES)) if draw(st.booleans()) else st.floats(-9, 9).map(round)
    table = {trial: [draw(cell) for _ in range(epochs)] for trial in range(1, draw(st.integers(1, most)) + 1)}
    mode = draw(st.sampled_from(["max", "min"]))
    return mode, (epochs, grace, eta), table, random.Random(draw(st.integers(0, 10**6)))


class World:
    """Slots that train the trials of a table, a list of those that began, and what happened to each."""

    def __init__(self, core, table, order, slots=1):
        self.core, self.table, self.order, self.slots = core, table, order, slots
        self.done, self.ended, self.busy, self.closings, self.heard = {}, {}, [], [], []

    @property
    def standing(self):
        return {trial: trial not in self.busy for trial in self.done if trial not in self.ended}

    def run(self, new, close=True):
        """Run the `new` trials, and all that goes on, until nothing is left to do."""
        new = list(new)
        while True:
            while len(self.busy) < self.slots and (trial := self.take(new, close)):
                assert trial not in self.busy and trial not in self.ended
                self.busy.append(trial)
                self.done.setdefault(trial, 0)
            if not self.busy:
                return self
            self.train(self.order.choice(self.busy))

    def take(self, new, close):
        if (trial := self.core.next()) is not None:
            return trial
        if new:
            return new.pop(0)
        if close and (trial := self.core.close(self.standing)) is not None:
            self.closings.append((trial, self.done[trial]))
            return trial
        return None

    def train(self, trial):
        self.done[trial] += 1
        epoch, values = self.done[trial], self.table[trial]
        if values[epoch - 1] == DIVERGES:
            self.core.abandon(trial)
            self.ended[trial] = "diverged"
            return self.busy.remove(trial)
        answer = self.core.report(trial, epoch, values[epoch - 1])
        self.heard.append((trial, epoch, answer))
        if epoch == len(values):
            self.ended[trial] = "completed"
        if epoch == len(values) or answer == PAUSE:
            self.busy.remove(trial)
        return None


def sound(world, trial, rungs) -> bool:
    """Whether nothing has happened to a trial that bars it from being trained in full."""
    done, values = world.done[trial], world.table[trial]
    return DIVERGES not in values[:done] and all(math.isfinite(values[rung - 1]) for rung in rungs if rung <= done)


def scores_at(world, mode, rung, rungs) -> dict[int, float]:
    """Of each trial that came to a rung, or fell on the way to it; more is better."""
    scores = {}
    for trial, done in world.done.items():
        values, value = world.table[trial], world.table[trial][rung - 1]
        fell = DIVERGES in values[:done] and next((at for at in rungs if at >= done), None) == rung
        if done >= rung and DIVERGES not in values[:rung]:
            scores[trial] = -math.inf if not math.isfinite(value) else value if mode == "max" else -value
        elif fell:
            scores[trial] = -math.inf
    return scores


def wanted(world, mode, rung, rungs, eta) -> list[int]:
    """Those that are to go on from a rung, best first: max(1, floor(n / eta)), of which one at least is sound."""
    scores = scores_at(world, mode, rung, rungs)
    ranked = sorted((trial for trial in scores if scores[trial] > -math.inf), key=lambda t: (-scores[t], t))
    healthy = [trial for trial in ranked if sound(world, trial, rungs)]
    return [*ranked[: len(scores) // eta], *healthy[:1]]


@settings(max_examples=150, deadline=None)
@given(searches(), st.integers(1, 4))
def test_a_search_ends_with_a_trial_trained_in_full_unless_all_go_wrong(search, slots):
    mode, (epochs, grace, eta), table, order = search
    core = PromotionAsha(mode, epochs, grace, eta)
    world = World(core, table, order, slots).run(table)
    rungs = [rung.epoch for rung in core.rungs]
    assert "completed" in world.ended.values() or not any(sound(world, trial, rungs) for trial in table)
    for rung in rungs:  # and of each the best went on
        assert all(world.done[trial] > rung for trial in wanted(world, mode, rung, rungs, eta))


@settings(max_examples=150, deadline=None)
@given(searches())
def test_each_closing_promotion_is_the_best_that_is_wanted_at_the_lowest_rung(search):
    mode, (epochs, grace, eta), table, order = search
    core = PromotionAsha(mode, epochs, grace, eta)
    world = World(core, table, order).run(table, close=False)
    rungs = [rung.epoch for rung in core.rungs]
    while True:
        lists = [(rung, wanted(world, mode, rung, rungs, eta)) for rung in rungs]
        waiting = [trial for rung, trials in lists for trial in trials if world.done[trial] == rung]
        promoted = core.close(world.standing)
        assert promoted == next((trial for trial in waiting if sound(world, trial, rungs)), None)
        if promoted is None:
            return
        world.busy.append(promoted)
        while world.busy:
            assert core.close(world.standing) is None  # one runs: nobody knows yet what a rung will hold
            world.train(promoted)


def caught_up(core, trial, world) -> bool:
    """Tell a core that knows of no closing all that is known of a trial that it calls back. Whether it has it run."""
    if world.done[trial] == (known := world.plain[trial]):
        return True
    answer = CONTINUE
    while answer == CONTINUE and known < world.done[trial]:
        known += 1
        if world.table[trial][known - 1] == DIVERGES:
            core.abandon(trial)
            answer = STOP
        else:
            answer = core.report(trial, known, world.table[trial][known - 1])
    world.plain[trial] = known
    return answer == CONTINUE and world.ended.get(trial) is None


@settings(max_examples=150, deadline=None)
@given(searches(), st.integers(0, 12), st.integers(1, 3))
def test_trials_that_come_later_meet_algorithm_2_as_if_none_had_been_closed(search, first, slots):
    """The answers to later trials, and who is called back, are those of a core that never closed."""
    mode, shape, table, order = search
    core = PromotionAsha(mode, *shape)
    world = World(core, table, order, slots).run(list(table)[:first], close=False)
    world.plain, plain = dict(world.done), twin(core, mode, shape)
    world.run([], close=True)
    new = list(table)[first:]
    while True:
        while len(world.busy) < slots:
            called = plain.next()
            while called is not None and not caught_up(plain, called, world):
                called = plain.next()
            assert core.next() == called
            if called is None and not new:
                break
            trial = called if called is not None else new.pop(0)
            world.busy.append(trial)
            world.done.setdefault(trial, 0)
        if not world.busy:
            break
        trial = order.choice(world.busy)
        world.train(trial)
        epoch, value = world.done[trial], table[trial][world.done[trial] - 1]
        world.plain[trial] = epoch
        if value == DIVERGES:
            plain.abandon(trial)
        else:
            assert plain.report(trial, epoch, value) == world.heard[-1][2]
    epochs = [(trial, epoch) for trial, epoch, _ in world.heard]
    assert len(set(epochs)) == len(epochs)


def twin(core: PromotionAsha, mode, shape) -> PromotionAsha:
    """A core in the same state."""
    other = PromotionAsha(mode, *shape)
    for rung, of in zip(other.rungs, core.rungs, strict=True):
        for trial, score in of.scores.items():
            rung.put(trial, score)
        for trial in of.promoted:
            rung.promote(trial)
    return other


@settings(max_examples=100, deadline=None)
@given(searches(most=20), st.integers(1, 4))
def test_each_bracket_of_hyperband_ends_with_a_trial_trained_in_full(search, slots):
    mode, (epochs, grace, eta), table, order = search
    core = HyperbandBrackets(mode, epochs, grace, eta)
    world = World(core, table, order, slots).run(table)
    for number, bracket in enumerate(core.brackets):
        own = [trial for trial in table if core.deal.bracket(trial) == number]
        rungs = [rung.epoch for rung in bracket.rungs]
        completed = [trial for trial in own if world.ended.get(trial) == "completed"]
        assert completed or not any(sound(world, trial, rungs) for trial in own)


def test_a_single_trial_trains_in_full():
    world = World(PromotionAsha("max", 50, 3, 3), {1: [0.0] * 50}, random.Random(0)).run([1])
    assert (world.done, world.ended) == ({1: 50}, {1: "completed"})
    assert world.closings == [(1, 3), (1, 9), (1, 27)]


def test_six_trials_of_ten_epochs_end_with_one_trained_in_full():
    table = {trial: [-trial] * 10 for trial in range(1, 7)}
    world = World(PromotionAsha("max", 10, 3, 3), table, random.Random(0)).run(table)
    assert world.done == {1: 10, 2: 9, 3: 3, 4: 3, 5: 3, 6: 3}
    assert (world.ended, world.closings) == ({1: "completed"}, [(1, 9)])


def test_the_next_best_goes_on_when_the_promoted_one_diverges():
    table = {1: [1.0] * 9, 2: [2.0, DIVERGES] + [2.0] * 7, 3: [math.nan] * 9}
    world = World(PromotionAsha("max", 9, 1, 3), table, random.Random(0)).run(table)
    assert world.ended == {2: "diverged", 1: "completed"}
    assert world.closings == [(1, 1), (1, 3)]  # 2 was promoted by Algorithm 2: there were three at the first rung


def test_a_tie_is_closed_by_number():
    core = PromotionAsha("min", 9, 1, 3)
    assert core.report(2, 1, 0.5) == core.report(1, 1, 0.5) == PAUSE
    assert core.close({1: True, 2: True}) == 1


def test_a_rung_of_values_that_are_not_finite_closes_none():
    core = PromotionAsha("max", 9, 1, 3)
    core.report(1, 1, math.nan)
    core.report(2, 1, math.inf)
    assert core.close({1: True, 2: True}) is None


def test_a_trial_that_an_earlier_version_stopped_is_not_called_back():
    core = PromotionAsha("max", 9, 1, 3)
    for trial in (1, 2):
        core.report(trial, 1, -float(trial))
    assert core.close({2: True}) == 2


def test_brackets_in_which_none_runs_are_closed_beside_others():
    core = HyperbandBrackets("max", 9, 1, 3)
    first = next(trial for trial in range(1, 20) if core.deal.bracket(trial) == 0)
    last = next(trial for trial in range(1, 20) if core.deal.bracket(trial) == 2)
    core.report(first, 1, 0.0)
    assert core.close({first: True, last: False}) == first


def test_without_a_scheduler_nothing_is_to_be_closed():
    assert RunAll().close({1: True}) is None and not RunAll().due()


@pytest.mark.parametrize("later", [1.0, 3.0])
def test_a_trial_that_went_on_at_the_close_is_promoted_without_being_trained_again(later):
    core = PromotionAsha("max", 9, 1, 3)
    for trial in (1, 2):
        core.report(trial, 1, float(trial))
    assert core.close({1: True, 2: True}) == 2
    core.report(2, 2, 2.0)
    assert core.report(2, 3, 2.0) == PAUSE
    assert core.report(3, 1, later) == (CONTINUE if later > 2 else PAUSE)
    assert core.due() == (later < 2)
    assert core.next() is None and not core.due()
    assert core.rungs[0].promoted == ({3} if later > 2 else {2})
